"""Runs a program on a kernel that lacks something, by a filter that says so.

    without.py namespaces|landlock|docker|docker-ptrace PROGRAM ARGUMENT...
"""
import ctypes
import os
import platform
import struct
import sys

X86 = platform.machine() == "x86_64"
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
EPERM, ENOSYS = 1, 38
NAMESPACES = 0x7E020000
CLONE, UNSHARE = (56, 272) if X86 else (220, 97)
CLONE3, LANDLOCK_CREATE_RULESET, PIDFD_GETFD = 435, 444, 438

# SOURCE: moby's default seccomp profile: what it leaves out for want of a
# capability that a container does not have, or altogether.
DOCKER = [272, 165, 166, 155, 308, 250, 248, 249, 321, 298, 323, 304, 303, 246, 320, 175, 313, 176,
          169, 167, 168, 163, 164, 227, 170, 171, 103, 179, 180, 212, 153, 300, 312] if X86 else \
         [97, 40, 39, 41, 268, 219, 217, 218, 280, 241, 282, 265, 264, 104, 294, 105, 273, 106,
          142, 224, 225, 89, 170, 112, 161, 162, 116, 60, 42, 18, 58, 262, 272]
DOCKER += [428, 429, 430, 431, 432, 433, 442, 443, 440]


def statement(code, k, jt=0, jf=0):
    return struct.pack("HBBI", code, jt, jf, k)


def refuse(number, errno):
    return [statement(0x15, number, 0, 1), statement(0x06, ERRNO | errno)]


def refuse_namespaces():
    # Only with one of the flags; the number is loaded again afterwards.
    return [statement(0x15, CLONE, 0, 4), statement(0x20, 16), statement(0x45, NAMESPACES, 0, 1),
            statement(0x06, ERRNO | EPERM), statement(0x20, 0)] + refuse(UNSHARE, EPERM) + refuse(CLONE3, ENOSYS)


def program(lack):
    code = [statement(0x20, 0)]
    if lack == "landlock":
        code += refuse(LANDLOCK_CREATE_RULESET, ENOSYS)
    else:
        code += refuse_namespaces()
    if lack.startswith("docker"):
        for number in DOCKER:
            code += refuse(number, EPERM)
    if lack == "docker":
        code += refuse(PIDFD_GETFD, EPERM)
    return code + [statement(0x06, ALLOW)]


code = program(sys.argv[1])
text = ctypes.create_string_buffer(b"".join(code))
fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(text)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, fprog, 0, 0):
    sys.exit("cannot install the filter: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])
