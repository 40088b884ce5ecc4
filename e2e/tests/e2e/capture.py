"""Every way to begin a connection; prints what each one got."""
import ctypes, os, select, socket, struct, sys

PORT = int(sys.argv[1])
HERE = ("127.0.0.1", PORT)
ASK = b"GET / HTTP/1.0\r\n\r\n"


def finish(sock):
    sock.settimeout(10)
    sock.sendall(ASK)
    answer = b""
    while piece := sock.recv(4096):
        answer += piece
    return answer.decode().strip().splitlines()[-1]


def plain():
    sock = socket.socket()
    sock.connect(HERE)
    return finish(sock)


def watched_first():
    """The socket is in an epoll set before it is told to connect."""
    sock = socket.socket()
    sock.setblocking(False)
    epoll = select.epoll()
    epoll.register(sock, select.EPOLLOUT | select.EPOLLET)
    if sock.connect_ex(HERE) not in (0, 115):
        return "not under way"
    while True:
        events = epoll.poll(10)
        if not events:
            return "never ready"
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and connected(sock):
            sock.setblocking(True)
            return finish(sock)


def connected(sock):
    try:
        return bool(sock.getpeername())
    except OSError:
        return False


def by_mapped_address():
    sock = socket.socket(socket.AF_INET6)
    sock.connect(("::ffff:127.0.0.1", PORT))
    return finish(sock)


def deferred():
    """TCP_FASTOPEN_CONNECT: the first bytes may be what connects."""
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, 30, 1)
    sock.connect(HERE)
    return finish(sock)


def bound_first():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.connect(HERE)
    return finish(sock)


def handed_over():
    """Made by one process, connected by another, used by the first."""
    ours, theirs = socket.socketpair()
    sock = socket.socket()
    socket.send_fds(ours, [b"x"], [sock.fileno()])
    child = os.fork()
    if child == 0:
        _, (number,), _, _ = socket.recv_fds(theirs, 1, 1)
        socket.socket(fileno=number).connect(HERE)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        return "the other process could not"
    return finish(sock)


def with_a_limit():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 5, 0))
    sock.connect(HERE)
    return finish(sock)


def by_first_bytes():
    """MSG_FASTOPEN names the address beside the bytes."""
    sock = socket.socket()
    sock.sendto(ASK, 0x20000000, HERE)
    return "sent"


def by_message():
    sock = socket.socket()
    sock.sendmsg([ASK], [], 0x20000000, HERE)
    return "sent"


def by_many_messages():
    class Part(ctypes.Structure):
        _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]

    class Header(ctypes.Structure):
        _fields_ = [("name", ctypes.c_char_p), ("namelen", ctypes.c_uint32),
                    ("part", ctypes.POINTER(Part)), ("parts", ctypes.c_size_t),
                    ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                    ("flags", ctypes.c_int), ("sent", ctypes.c_uint)]

    sock = socket.socket()
    address = struct.pack("=H", 2) + struct.pack("!H", PORT) + socket.inet_aton("127.0.0.1") + bytes(8)
    part = Part(ASK, len(ASK))
    header = Header(address, 16, ctypes.pointer(part), 1, None, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sendmmsg(sock.fileno(), ctypes.byref(header), 1, 0x20000000) < 0:
        raise OSError(ctypes.get_errno(), "sendmmsg")
    return "sent"


def by_ring():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(425, 8, ctypes.create_string_buffer(120)) < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    return "a ring"


for way in (plain, watched_first, by_mapped_address, deferred, bound_first, handed_over,
            with_a_limit, by_first_bytes, by_message, by_many_messages, by_ring):
    try:
        print(f"{way.__name__}: {way()}")
    except OSError as error:
        print(f"{way.__name__}: error {error.errno}")
