//! What the filter has to hold besides where the session has no namespaces and
//! shares the host's processes, network, IPC objects and mounts.
//!
//! These tests come before the table, so what is said here is the last word.

use libc::{c_long, sock_filter};

use super::{
    Action, ByArgument, EPERM, INTERNET, PACKET, Test, Verdict, argument_offset, argument_test,
    block, jump, load, local_tests, mask, one_of, ret,
};

/// Calls with one fate, whatever their arguments.
const FATES: &[(Action, &[c_long])] = &[
    // A server would be one of the host's, and a local name may be the host's.
    (EPERM, &[libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4]),
    // Objects of the host's IPC namespace are told apart by user alone.
    (EPERM, &[libc::SYS_shmget, libc::SYS_shmat, libc::SYS_shmdt, libc::SYS_shmctl]),
    (EPERM, &[libc::SYS_semget, libc::SYS_semop, libc::SYS_semctl, libc::SYS_semtimedop]),
    (EPERM, &[libc::SYS_msgget, libc::SYS_msgsnd, libc::SYS_msgrcv, libc::SYS_msgctl]),
    (EPERM, &[libc::SYS_mq_open, libc::SYS_mq_unlink, libc::SYS_mq_timedsend]),
    (EPERM, &[libc::SYS_mq_timedreceive, libc::SYS_mq_notify, libc::SYS_mq_getsetattr]),
    // With these two even 0 can mean every process of the user.
    (EPERM, &[libc::SYS_setpriority, libc::SYS_ioprio_set]),
    // Landlock holds none of these, and there is no read-only view. The
    // supervisor makes the changes, in writable places.
    (
        Action::Notify,
        &[
            libc::SYS_fchmod,
            libc::SYS_fchmodat,
            libc::SYS_fchmodat2,
            libc::SYS_fchown,
            libc::SYS_fchownat,
            libc::SYS_utimensat,
        ],
    ),
    // No mount holds a protected name.
    (Action::Notify, &[libc::SYS_unlinkat]),
    // Nor does Landlock hold who watches a directory for changes.
    (Action::Notify, &[libc::SYS_inotify_add_watch]),
    // Programs that copy attributes go on without them.
    (
        Action::Errno(libc::EOPNOTSUPP),
        &[
            libc::SYS_setxattr,
            libc::SYS_lsetxattr,
            libc::SYS_fsetxattr,
            libc::SYS_removexattr,
            libc::SYS_lremovexattr,
            libc::SYS_fremovexattr,
        ],
    ),
];

#[cfg(target_arch = "x86_64")]
const FATES_HERE: &[(Action, &[c_long])] = &[
    (Action::Notify, &[libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown]),
    (Action::Notify, &[libc::SYS_unlink, libc::SYS_rmdir]),
    (super::ENOSYS, &[libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat]),
];
#[cfg(target_arch = "aarch64")]
const FATES_HERE: &[(Action, &[c_long])] = &[];

/// Ways to change a file's attributes by a descriptor that was opened to read.
/// SOURCE: linux/fs.h, linux/fsverity.h, linux/fscrypt.h, linux/msdos_fs.h, ext4.
pub(super) const ATTRIBUTES: &[u32] = &[
    0x4008_6602, // FS_IOC_SETFLAGS
    0x4004_6602, // FS_IOC32_SETFLAGS
    0x4008_7602, // FS_IOC_SETVERSION
    0x401c_5820, // FS_IOC_FSSETXATTR
    0x4080_6685, // FS_IOC_ENABLE_VERITY
    0x800c_6613, // FS_IOC_SET_ENCRYPTION_POLICY
    0xc050_6617, // FS_IOC_ADD_ENCRYPTION_KEY
    0xc040_6618, // FS_IOC_REMOVE_ENCRYPTION_KEY
    0xc040_6619, // FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS
    0x4004_7211, // FAT_IOCTL_SET_ATTRIBUTES
];

/// Allowed for the calling thread alone, named by 0.
const OWN_ONLY: &[c_long] = &[
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
];

/// The supervisor looks at its processes by the caller's own rights alone. One
/// that closed itself to them could not be served, nor its memory be counted.
const KEEP_DUMPABLE: ByArgument = ByArgument {
    call: libc::SYS_prctl,
    argument: 0,
    test: Test::OneOf(&[libc::PR_SET_DUMPABLE as u32]),
    then: EPERM,
    otherwise: Action::Allow,
};

pub(super) fn tests(code: &mut Vec<sock_filter>) {
    for (action, calls) in FATES.iter().chain(FATES_HERE) {
        for call in *calls {
            block(code, *call, vec![ret(Verdict::Do(*action))]);
        }
    }
    for call in OWN_ONLY {
        let (argument, test) = (0, Test::OneOf(&[0]));
        let then = Action::Allow;
        argument_test(code, &ByArgument { call: *call, argument, test, then, otherwise: EPERM });
    }
    argument_test(code, &KEEP_DUMPABLE);
}

/// Streams only. A datagram needs no `connect`: it would reach the network by
/// itself. Netlink would show and change what is the host's.
pub(super) fn socket_tests(code: &mut Vec<sock_filter>) {
    let refuse = |errno| ret(Verdict::Do(Action::Errno(errno)));
    let mut body = local_tests();
    body.extend([jump(libc::BPF_JEQ, PACKET, 0, 1), ret(Verdict::Do(Action::Notify))]);
    one_of(&mut body, INTERNET);
    body.extend([jump(libc::BPF_JA, 1, 0, 0), refuse(libc::EAFNOSUPPORT)]);
    body.extend([load(argument_offset(1)), mask(0xff)]);
    // Packets by hand, as `ping` makes them.
    body.push(jump(libc::BPF_JEQ, libc::SOCK_RAW as u32, 0, 1));
    body.push(ret(Verdict::Do(Action::Notify)));
    one_of(&mut body, &[libc::SOCK_STREAM as u32]);
    body.extend([jump(libc::BPF_JA, 1, 0, 0), refuse(libc::EPERM)]);
    body.push(load(argument_offset(2)));
    one_of(&mut body, &[0, libc::IPPROTO_TCP as u32]);
    body.extend([ret(Verdict::Do(Action::Allow)), refuse(libc::EPROTONOSUPPORT)]);
    block(code, libc::SYS_socket, body);
}
