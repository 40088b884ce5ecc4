"""Raw system calls, for attempts that no tool of a shell makes, and the runner
of a series of attempts. Scripts of other tests are put behind it."""

import ctypes, errno, fcntl, mmap, os, platform, signal, socket, stat, struct, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
AT = -100
X86 = platform.machine() == "x86_64"
# Numbers on x86-64, and elsewhere; None where there is no such call.
NUMBERS = {
    "open": (2, None), "creat": (85, None), "mkdir": (83, None), "rename": (82, None), "link": (86, None),
    "symlink": (88, None), "mknod": (133, None), "chmod": (90, None), "chown": (92, None), "truncate": (76, 45),
    "openat": (257, 56), "openat2": (437, 437), "mkdirat": (258, 34), "mknodat": (259, 33), "renameat": (264, 38),
    "renameat2": (316, 276), "linkat": (265, 37), "symlinkat": (266, 36), "unlinkat": (263, 35),
    "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "fchown": (93, 55), "fchownat": (260, 54),
    "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "setxattrat": (463, 463), "file_setattr": (469, 469), "ftruncate": (77, 46), "fallocate": (285, 47),
    "copy_file_range": (326, 285), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "kcmp": (312, 272),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "prlimit64": (302, 261), "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "sched_setaffinity": (203, 122),
    "ioprio_set": (251, 30), "move_pages": (279, 239), "migrate_pages": (256, 238), "setpriority": (141, 140),
    "process_mrelease": (448, 448), "get_robust_list": (100 if not X86 else 274, 100),
    "clone": (56, 220), "clone3": (435, 435), "unshare": (272, 97), "setns": (308, 268), "chroot": (161, 51), "pivot_root": (155, 41),
    "mount": (165, 40), "umount2": (166, 39), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "statmount": (457, 457),
    "listmount": (458, 458), "open_tree_attr": (467, 467), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "seccomp": (317, 277), "prctl": (157, 167), "shmget": (29, 194), "shmat": (30, 196),
    "semget": (64, 190), "msgget": (68, 186), "msgrcv": (70, 188), "mq_open": (240, 180), "execve": (59, 221), "execveat": (322, 281),
    "capset": (126, 91), "setgroups": (116, 159), "sendmmsg": (307, 269), "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
}


def call(name, *arguments):
    """Makes a call by name or number. Raises OSError as the kernel answers."""
    number = name if isinstance(name, int) else NUMBERS[name][0 if X86 else 1]
    if number is None:
        raise OSError(errno.ENOSYS, "not on this machine")
    words = [a.encode() if isinstance(a, str) else a for a in arguments]
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in words]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *words)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def attempt(name, deed):
    """Runs a deed in a process of its own and prints what came of it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        answer = "done"
        try:
            deed()
        except OSError as error:
            answer = errno.errorcode.get(error.errno, str(error.errno))
        print(name, answer, flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        print(name, "killed", flush=True)


def write_all(fd):
    os.write(fd, b"planted\n")
    os.close(fd)


def run_all(touches, place):
    """Runs `tries/0`, `tries/1`, … each in a process of its own: shell or
    Python. With a place, each in the copy of the workspace that it has there."""
    scripts = os.path.abspath("tries")
    for number, name in enumerate(touches):
        print("---", number, file=sys.stderr, flush=True)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            if place:
                os.chdir(f"{place}/{number}/project")
                os.environ["CONTROL"] = "1"
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            if os.path.exists(f"{scripts}/{number}.sh"):
                os.execlp("sh", "sh", f"{scripts}/{number}.sh")
            code = 0
            try:
                exec(open(f"{scripts}/{number}.py").read(), globals())
            except Exception as error:
                print(type(error).__name__, error, file=sys.stderr, flush=True)
                code = 1
            sys.stdout.flush()
            os._exit(code)
        status = os.waitpid(child, 0)[1]
        print("---", number, "ended", status, "there" if os.path.lexists(name) else "absent", file=sys.stderr, flush=True)


if __name__ == "__main__" and __file__.endswith("calls.py"):
    run_all(open("tries/touches").read().splitlines(), sys.argv[1] if len(sys.argv) > 1 else None)
