//! Which system calls may be made: a table in which silence means "no such
//! call", compiled to a seccomp program.
//!
//! The architecture is checked first, then the number. Calls that are not in
//! any list answer `ENOSYS`, so that programs take the path for older kernels;
//! calls that we know and refuse answer `EPERM`, the rare ones by way of the
//! supervisor, which says why.

use libc::{c_long, sock_filter};

use calls::{ABSENT, ALLOWED, ALLOWED_HERE, REFUSED, REFUSED_HERE};

use crate::plan::Tier;

mod calls;
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
