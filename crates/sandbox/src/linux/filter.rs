//! Which system calls may be made: a table in which silence means "no such
//! call", compiled to a seccomp program.
//!
//! The architecture is checked first, then the number. Calls that are not in
//! any list answer `ENOSYS`, so that programs take the path for older kernels;
//! calls that we know and refuse answer `EPERM`, the rare ones by way of the
//! supervisor, which says why.

use libc::{c_long, sock_filter};

use crate::plan::Tier;

mod shared;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Allow,
    /// The supervisor decides; see [`super::notify`].
    Notify,
    Errno(i32),
}

/// A call whose fate depends on one argument.
struct ByArgument {
    call: c_long,
    /// Index of the argument, 0 to 5. Only its lower 32 bits are compared: the
    /// kernel ignores the upper ones for every argument listed here.
    argument: u32,
    test: Test,
    then: Action,
    otherwise: Action,
}

enum Test {
    /// Any of these bits is set.
    AnyBit(u32),
    /// Any of the first bits is set and none of the second.
    AnyBitWithout(u32, u32),
    /// Equal to one of these.
    OneOf(&'static [u32]),
    /// Under this mask equal to one of these.
    MaskedOneOf(u32, &'static [u32]),
}

const EPERM: Action = Action::Errno(libc::EPERM);
const ENOSYS: Action = Action::Errno(libc::ENOSYS);

/// Flags that make new namespaces. `CLONE_NEWTIME` shares its bit with the exit
/// signal of `clone`, where the kernel does not read it as a namespace.
const NAMESPACES: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u32;
const NEWTIME: u32 = 0x80;

/// Ways to type into or reconfigure a terminal that is not ours to configure.
const TERMINAL_TRICKS: &[u32] =
    &[libc::TIOCSTI as u32, libc::TIOCLINUX as u32, libc::TIOCSETD as u32, libc::TIOCCONS as u32];

/// Ways to open a file that make it, cut it or let it be written to.
const WRITING: u32 = (libc::O_WRONLY
    | libc::O_RDWR
    | libc::O_CREAT
    | libc::O_TRUNC
    | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;
/// Opens a place and not what is in it; the kernel then ignores the others.
const PATH_ONLY: u32 = libc::O_PATH as u32;

const LOCAL: u32 = libc::AF_UNIX as u32;
/// A local datagram socket could send to any socket file that can be seen, with
/// no `connect` to judge. The kernel takes a raw one for a datagram one.
const CONNECTED: &[u32] = &[libc::SOCK_STREAM as u32, libc::SOCK_SEQPACKET as u32];
const INTERNET: &[u32] = &[libc::AF_INET as u32, libc::AF_INET6 as u32];
const NETLINK: u32 = libc::AF_NETLINK as u32;
/// What `tcpdump` listens with.
const PACKET: u32 = libc::AF_PACKET as u32;
const STREAM_OR_DATAGRAM: &[u32] = &[libc::SOCK_STREAM as u32, libc::SOCK_DGRAM as u32];
const PLAIN_PROTOCOLS: &[u32] = &[0, libc::IPPROTO_TCP as u32, libc::IPPROTO_UDP as u32];
/// Connecting by sending the first bytes would pass by the trap on `connect`.
const FASTOPEN: u32 = libc::MSG_FASTOPEN as u32;

/// The tests. Calls that appear here are in no other list; `socket`,
/// `socketpair` and `ioctl` have chains of their own.
const BY_ARGUMENT: &[ByArgument] = &[
    OPENAT,
    MKNODAT,
    FCHMODAT,
    ByArgument { call: libc::SYS_fchmod, argument: 1, ..FCHMODAT },
    ByArgument { call: libc::SYS_fchmodat2, ..FCHMODAT },
    #[cfg(target_arch = "x86_64")]
    ByArgument { call: libc::SYS_chmod, argument: 1, ..FCHMODAT },
    #[cfg(target_arch = "x86_64")]
    ByArgument { call: libc::SYS_open, argument: 1, ..OPENAT },
    #[cfg(target_arch = "x86_64")]
    ByArgument { call: libc::SYS_mknod, argument: 1, ..MKNODAT },
    ByArgument {
        call: libc::SYS_clone,
        argument: 0,
        test: Test::AnyBit(NAMESPACES),
        then: Action::Notify,
        otherwise: Action::Allow,
    },
    ByArgument {
        call: libc::SYS_unshare,
        argument: 0,
        test: Test::AnyBit(NAMESPACES | NEWTIME),
        then: Action::Notify,
        otherwise: Action::Allow,
    },
    ByArgument {
        call: libc::SYS_sendto,
        argument: 3,
        test: Test::AnyBit(FASTOPEN),
        then: Action::Errno(libc::EOPNOTSUPP),
        otherwise: Action::Allow,
    },
    ByArgument {
        call: libc::SYS_sendmsg,
        argument: 2,
        test: Test::AnyBit(FASTOPEN),
        then: Action::Errno(libc::EOPNOTSUPP),
        otherwise: Action::Allow,
    },
    ByArgument {
        call: libc::SYS_sendmmsg,
        argument: 3,
        test: Test::AnyBit(FASTOPEN),
        then: Action::Errno(libc::EOPNOTSUPP),
        otherwise: Action::Allow,
    },
    // A lease would hold up whoever opens the file on the host.
    ByArgument {
        call: libc::SYS_fcntl,
        argument: 1,
        test: Test::OneOf(&[libc::F_SETLEASE as u32]),
        then: EPERM,
        otherwise: Action::Allow,
    },
    // personality(2): only the plain Linux ones, and the question what is set.
    ByArgument {
        call: libc::SYS_personality,
        argument: 0,
        test: Test::OneOf(&[0, 0x0004_0000, 0xffff_ffff]),
        then: Action::Allow,
        otherwise: EPERM,
    },
];

/// Reading is open; what may change something is judged by name.
const OPENAT: ByArgument = ByArgument {
    call: libc::SYS_openat,
    argument: 2,
    test: Test::AnyBitWithout(WRITING, PATH_ONLY),
    then: Action::Notify,
    otherwise: Action::Allow,
};

/// Pipes and sockets, where the floor allows them; files are made by `open`.
const MKNODAT: ByArgument = ByArgument {
    call: libc::SYS_mknodat,
    argument: 2,
    test: Test::MaskedOneOf(libc::S_IFMT, &[libc::S_IFIFO, libc::S_IFSOCK]),
    then: Action::Allow,
    otherwise: EPERM,
};

/// A set-uid file would give the person's rights to whoever runs it on the host.
/// The set-gid bit is left, because directories are shared by it.
const FCHMODAT: ByArgument = ByArgument {
    call: libc::SYS_fchmodat,
    argument: 2,
    test: Test::AnyBit(libc::S_ISUID),
    then: EPERM,
    otherwise: Action::Allow,
};

/// Compiles the table for the architecture of this build. Without namespaces
/// the calls of [`shared`] have a fate of their own.
pub(crate) fn program(tier: Tier) -> Vec<sock_filter> {
    let mut code = vec![load(ARCHITECTURE_OFFSET), jump(libc::BPF_JEQ, AUDIT_ARCHITECTURE, 1, 0)];
    code.push(ret(Verdict::Kill));
    code.push(load(NUMBER_OFFSET));
    // The x32 calls of x86-64 have this bit; elsewhere no number is that large.
    code.push(jump(libc::BPF_JGE, 0x4000_0000, 0, 1));
    code.push(ret(Verdict::Do(ENOSYS)));
    let own = tier.has_namespaces();
    if !own {
        shared::tests(&mut code);
    }
    if own {
        socket_tests(&mut code)
    } else {
        shared::socket_tests(&mut code)
    }
    pair_tests(&mut code);
    control_tests(&mut code, if own { &[] } else { shared::ATTRIBUTES });
    for test in BY_ARGUMENT {
        argument_test(&mut code, test);
    }
    ranges(&mut code);
    code
}

enum Verdict {
    Kill,
    Do(Action),
}

const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;

/// Offset of the lower half of an argument. SOURCE: linux/seccomp.h, seccomp_data.
fn argument_offset(argument: u32) -> u32 {
    16 + argument * 8 + if cfg!(target_endian = "big") { 4 } else { 0 }
}

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCHITECTURE: u32 = 0xC000_00B7;

fn load(offset: u32) -> sock_filter {
    sock_filter {
        code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k: offset,
    }
}

fn jump(test: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt, jf, k }
}

fn mask(k: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16, jt: 0, jf: 0, k }
}

fn ret(verdict: Verdict) -> sock_filter {
    let k = match verdict {
        Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        Verdict::Do(Action::Allow) => libc::SECCOMP_RET_ALLOW,
        Verdict::Do(Action::Notify) => libc::SECCOMP_RET_USER_NOTIF,
        Verdict::Do(Action::Errno(errno)) => libc::SECCOMP_RET_ERRNO | errno as u32,
    };
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k }
}

/// A block that is skipped unless the number in the accumulator is `call`. The
/// block always returns.
fn block(code: &mut Vec<sock_filter>, call: c_long, body: Vec<sock_filter>) {
    code.push(jump(libc::BPF_JEQ, call as u32, 0, body.len() as u8));
    code.extend(body);
}

fn argument_test(code: &mut Vec<sock_filter>, test: &ByArgument) {
    let mut body = vec![load(argument_offset(test.argument))];
    match &test.test {
        Test::AnyBit(bits) => body.push(jump(libc::BPF_JSET, *bits, 0, 1)),
        Test::AnyBitWithout(bits, without) => {
            body.push(jump(libc::BPF_JSET, *without, 2, 0));
            body.push(jump(libc::BPF_JSET, *bits, 0, 1));
        }
        Test::OneOf(values) => one_of(&mut body, values),
        Test::MaskedOneOf(bits, values) => {
            body.push(mask(*bits));
            one_of(&mut body, values);
        }
    }
    body.push(ret(Verdict::Do(test.then)));
    body.push(ret(Verdict::Do(test.otherwise)));
    block(code, test.call, body);
}

/// Jumps that reach the next instruction if the accumulator is one of `values`
/// and skip it otherwise.
fn one_of(body: &mut Vec<sock_filter>, values: &[u32]) {
    for (i, value) in values.iter().enumerate() {
        let to_hit = (values.len() - 1 - i) as u8;
        let last = to_hit == 0;
        body.push(jump(libc::BPF_JEQ, *value, to_hit, u8::from(last)));
    }
}

/// `socket(2)` has three arguments that must agree, so it is a chain.
fn socket_tests(code: &mut Vec<sock_filter>) {
    let refuse = |errno| ret(Verdict::Do(Action::Errno(errno)));
    let allow = || ret(Verdict::Do(Action::Allow));
    let mut body = local_tests();
    one_of(&mut body, INTERNET);
    // Over the jump to the netlink part.
    let mut internet = vec![load(argument_offset(1)), mask(0xff)];
    one_of(&mut internet, STREAM_OR_DATAGRAM);
    // Packets by hand, as `ping` makes them.
    internet.extend([jump(libc::BPF_JA, 1, 0, 0), ret(Verdict::Do(Action::Notify))]);
    internet.push(load(argument_offset(2)));
    one_of(&mut internet, PLAIN_PROTOCOLS);
    internet.extend([allow(), refuse(libc::EPROTONOSUPPORT)]);
    body.push(jump(libc::BPF_JA, 1, 0, 0));
    body.push(jump(libc::BPF_JA, internet.len() as u32, 0, 0));
    body.extend(internet);
    body.push(jump(libc::BPF_JEQ, PACKET, 0, 1));
    body.push(ret(Verdict::Do(Action::Notify)));
    one_of(&mut body, &[NETLINK]);
    body.push(jump(libc::BPF_JA, 1, 0, 0));
    body.push(refuse(libc::EAFNOSUPPORT));
    body.push(load(argument_offset(2)));
    one_of(&mut body, &[libc::NETLINK_ROUTE as u32]);
    body.extend([allow(), refuse(libc::EPERM)]);
    block(code, libc::SYS_socket, body);
}

/// The beginning of a chain on `socket(2)`: local sockets. It leaves the family
/// in the accumulator.
fn local_tests() -> Vec<sock_filter> {
    let mut body = vec![load(argument_offset(0))];
    let mut local = vec![load(argument_offset(1)), mask(0xf)];
    one_of(&mut local, CONNECTED);
    local.push(ret(Verdict::Do(Action::Allow)));
    local.push(ret(Verdict::Do(Action::Errno(libc::EACCES))));
    body.push(jump(libc::BPF_JEQ, LOCAL, 0, local.len() as u8));
    body.extend(local);
    body
}

/// Pairs are local and connected.
fn pair_tests(code: &mut Vec<sock_filter>) {
    let refuse = |errno| ret(Verdict::Do(Action::Errno(errno)));
    let mut body = vec![load(argument_offset(0)), jump(libc::BPF_JEQ, LOCAL, 1, 0)];
    body.extend([refuse(libc::EPERM), load(argument_offset(1)), mask(0xf)]);
    one_of(&mut body, CONNECTED);
    body.extend([ret(Verdict::Do(Action::Allow)), refuse(libc::EACCES)]);
    block(code, libc::SYS_socketpair, body);
}

/// Btrfs makes and removes subvolumes, which are names, by `ioctl`.
/// SOURCE: linux/btrfs.h, BTRFS_IOCTL_MAGIC.
const BTRFS: u32 = 0x94 << 8;
/// The requests of that magic that every file system knows: cloning and
/// comparing ranges of files that are open already. Type and number.
/// SOURCE: linux/fs.h, FICLONE, FICLONERANGE, FIDEDUPERANGE.
const CLONES: &[u32] = &[BTRFS | 9, BTRFS | 13, BTRFS | 54];

/// `ioctl(2)`, with `more` requests that are refused.
fn control_tests(code: &mut Vec<sock_filter>, more: &[u32]) {
    let (allow, refuse) = (|| ret(Verdict::Do(Action::Allow)), || ret(Verdict::Do(EPERM)));
    let mut body = vec![load(argument_offset(1))];
    one_of(&mut body, &[TERMINAL_TRICKS, more].concat());
    body.push(refuse());
    body.push(mask(0xffff));
    one_of(&mut body, CLONES);
    body.push(allow());
    body.push(mask(0xff00));
    one_of(&mut body, &[BTRFS]);
    body.extend([refuse(), allow()]);
    block(code, libc::SYS_ioctl, body);
}

/// The rest of the table: runs of numbers with one fate, in ascending order.
fn ranges(code: &mut Vec<sock_filter>) {
    let last = lists().map(|(call, _)| call).max().unwrap_or(0);
    let mut start = 0;
    while start <= last {
        let action = verdict_on_number(start);
        let mut end = start;
        while end < last && verdict_on_number(end + 1) == action {
            end += 1;
        }
        code.push(jump(libc::BPF_JGT, end as u32, 1, 0));
        code.push(ret(Verdict::Do(action)));
        start = end + 1;
    }
    code.push(ret(Verdict::Do(ENOSYS)));
}

fn lists() -> impl Iterator<Item = (c_long, Action)> {
    let allowed = ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (*call, Action::Allow));
    let notified = NOTIFIED.iter().chain(NOTIFIED_HERE).map(|call| (*call, Action::Notify));
    let told = TOLD.iter().map(|(call, _)| (*call, Action::Notify));
    let absent = ABSENT.iter().map(|call| (*call, Action::Errno(libc::EOPNOTSUPP)));
    let refused = REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, EPERM));
    allowed.chain(notified).chain(told).chain(refused).chain(absent)
}

fn verdict_on_number(number: c_long) -> Action {
    lists().find(|(call, _)| *call == number).map_or(ENOSYS, |(_, action)| action)
}

/// Calls that the supervisor judges or performs for the caller.
pub(super) const NOTIFIED: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_connect,
    libc::SYS_mkdirat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_truncate,
    libc::SYS_umask,
];

/// Older spellings of the same.
#[cfg(target_arch = "x86_64")]
pub(super) const NOTIFIED_HERE: &[c_long] = &[
    libc::SYS_creat,
    libc::SYS_mkdir,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_link,
    libc::SYS_symlink,
];
#[cfg(target_arch = "aarch64")]
pub(super) const NOTIFIED_HERE: &[c_long] = &[libc::SYS_renameat];

/// Calls we refuse and say so: rare ones, each made by a program whose purpose it
/// is, so that its user should hear why. The supervisor writes them down and
/// answers `EPERM`, as the kernel does for the others; none is ever continued.
const TOLD: &[(c_long, &str)] = &[
    (libc::SYS_ptrace, "ptrace"),
    (libc::SYS_process_vm_readv, "process_vm_readv"),
    (libc::SYS_process_vm_writev, "process_vm_writev"),
    (libc::SYS_mount, "mount"),
    (libc::SYS_umount2, "umount2"),
    (libc::SYS_pivot_root, "pivot_root"),
    (libc::SYS_chroot, "chroot"),
    (libc::SYS_open_tree, "open_tree"),
    (libc::SYS_move_mount, "move_mount"),
    (libc::SYS_fsopen, "fsopen"),
    (libc::SYS_fsconfig, "fsconfig"),
    (libc::SYS_fsmount, "fsmount"),
    (libc::SYS_fspick, "fspick"),
    (libc::SYS_mount_setattr, "mount_setattr"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_bpf, "bpf"),
    (libc::SYS_add_key, "add_key"),
    (libc::SYS_request_key, "request_key"),
    (libc::SYS_keyctl, "keyctl"),
    (libc::SYS_init_module, "init_module"),
    (libc::SYS_finit_module, "finit_module"),
    (libc::SYS_delete_module, "delete_module"),
    (libc::SYS_reboot, "reboot"),
    (libc::SYS_swapon, "swapon"),
    (libc::SYS_swapoff, "swapoff"),
    (libc::SYS_settimeofday, "settimeofday"),
    (libc::SYS_clock_settime, "clock_settime"),
    (libc::SYS_sethostname, "sethostname"),
    (libc::SYS_setdomainname, "setdomainname"),
];

/// Calls of [`BY_ARGUMENT`] and of `socket` that go to the supervisor only with
/// arguments that are refused.
const TOLD_BY_ARGUMENT: &[(c_long, &str)] =
    &[(libc::SYS_clone, "clone"), (libc::SYS_unshare, "unshare"), (libc::SYS_socket, "socket")];

/// Every call that is refused by notification, by its number and name.
pub(crate) fn told() -> impl Iterator<Item = (c_long, &'static str)> {
    TOLD.iter().chain(TOLD_BY_ARGUMENT).copied()
}

/// Calls we know and refuse without a word, because programs try them and go on
/// without: they reach other processes, change how the kernel works, or pass by
/// a trap.
const REFUSED: &[c_long] = &[
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_acct,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_syslog,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_process_mrelease,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] =
    &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt, libc::SYS_uselib, libc::SYS__sysctl];
#[cfg(target_arch = "aarch64")]
const REFUSED_HERE: &[c_long] = &[];

/// Calls that say that the kernel has this and it is off. A program that confines
/// itself by Landlock would not bind us, who write for it.
const ABSENT: &[c_long] = &[
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
];

/// What ordinary programs need. Calls with a test of their own are not here.
const ALLOWED: &[c_long] = &[
    // Files.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_unlinkat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_sync_file_range,
    libc::SYS_flock,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_vmsplice,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_readahead,
    libc::SYS_fadvise64,
    451, /* cachestat */
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    // Waiting.
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_signalfd4,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    454,
    455,
    456, // futex_wake, futex_wait, futex_requeue (Linux 6.7)
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_membarrier,
    libc::SYS_rseq,
    libc::SYS_restart_syscall,
    // Asynchronous file input and output, the old kind; it cannot open or connect.
    libc::SYS_io_setup,
    libc::SYS_io_destroy,
    libc::SYS_io_submit,
    libc::SYS_io_cancel,
    libc::SYS_io_getevents,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_msync,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_munlock,
    libc::SYS_mlockall,
    libc::SYS_munlockall,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
    libc::SYS_get_mempolicy,
    libc::SYS_set_mempolicy,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy_home_node,
    libc::SYS_remap_file_pages,
    462, // mseal
    // Processes of the session.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getpgid,
    libc::SYS_setpgid,
    libc::SYS_getsid,
    libc::SYS_setsid,
    libc::SYS_set_tid_address,
    libc::SYS_prctl,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_setparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_getattr,
    libc::SYS_sched_setattr,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_rr_get_interval,
    libc::SYS_getpriority,
    libc::SYS_setpriority,
    libc::SYS_ioprio_get,
    libc::SYS_ioprio_set,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_getrlimit,
    libc::SYS_setrlimit,
    libc::SYS_prlimit64,
    libc::SYS_getcpu,
    // Confining itself further.
    libc::SYS_seccomp,
    // Who and where.
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    // Time.
    libc::SYS_gettimeofday,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_delete,
    // Sockets, once they exist.
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    // Shared memory and queues of the session's own IPC namespace.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmdt,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semctl,
    libc::SYS_semtimedop,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_mq_timedsend,
    libc::SYS_mq_timedreceive,
    libc::SYS_mq_notify,
    libc::SYS_mq_getsetattr,
];

/// Older spellings that only x86-64 still has, and its own few.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_getdents,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_signalfd,
    libc::SYS_inotify_init,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_alarm,
    libc::SYS_pause,
    libc::SYS_time,
    libc::SYS_getpgrp,
    libc::SYS_arch_prctl,
    libc::SYS_ustat,
    libc::SYS_sysfs,
];
#[cfg(target_arch = "aarch64")]
const ALLOWED_HERE: &[c_long] = &[];
