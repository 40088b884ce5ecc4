// servers.mjs FOLDER: the hosts of the laboratory. Writes a line of JSON to
// FOLDER/seen for everything that reaches it, says `ready` once it listens
// everywhere, and ends when its input does.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';

const folder = process.argv[2];
const key = fs.readFileSync(path.join(folder, 'key.pem'));
const cert = fs.readFileSync(path.join(folder, 'chain.pem'));
const note = what => fs.appendFileSync(path.join(folder, 'seen'), JSON.stringify(what) + '\n');

/** Hosts that serve files from a directory of their name below FOLDER/www. */
const files = new Set(fs.existsSync(path.join(folder, 'www')) ? fs.readdirSync(path.join(folder, 'www')) : []);

function answer(request, response) {
    const host = (request.headers[':authority'] ?? request.headers.host ?? '').replace(/:\d+$/, '');
    const seen = {
        server: request.socket.encrypted ? 'https' : 'http', version: request.httpVersion, host,
        sni: request.socket.servername, method: request.method, path: request.url, headers: request.headers,
    };
    const { pathname, searchParams } = new URL(request.url, 'https://unused.example');
    if (host === 'git.example') { note(seen); return git(request, response); }
    if (host === 'model.example') { note(seen); return model(request, response); }
    if (files.has(host)) { note(seen); return file(path.join(folder, 'www', host, decodeURIComponent(pathname)), response); }
    const body = [];
    const route = routes[pathname] ?? greet;
    // Bodies are answered as they come, where a route says so.
    if (route.streams) { note(seen); return route(request, response, searchParams); }
    request.on('data', piece => body.push(piece));
    request.on('end', () => {
        seen.body = Buffer.concat(body).toString('latin1').slice(0, 4096);
        note(seen);
        route(request, response, searchParams, seen);
    });
}

function greet(request, response) {
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.end('hello from the outside\n');
}

const routes = {
    /** What was received, as it was received. */
    '/echo': (request, response, _, seen) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(seen));
    },
    /** What the body hashes to, however long it is. */
    '/digest': (request, response) => {
        const hash = createHash('sha256');
        request.on('data', piece => hash.update(piece));
        request.on('end', () => { response.writeHead(200); response.end(hash.digest('hex')); });
    },
    /** The status that was asked for, which may have no body. */
    '/status': (request, response, query) => {
        response.writeHead(Number(query.get('code')), { etag: '"x"' });
        response.end();
    },
    '/redirect': (request, response, query) => {
        response.writeHead(302, { location: query.get('to') });
        response.end();
    },
    /** Five events, a fifth of a second apart, each with the time it was sent at. */
    '/events': (request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        let count = 0;
        const tick = setInterval(() => {
            response.write(`event: ping\ndata: ${Date.now() / 1000}\n\n`);
            if (++count === 5) { clearInterval(tick); response.end(); }
        }, 200);
    },
    /** 200 MiB, as fast as they are taken. */
    '/much': async (request, response) => {
        const piece = Buffer.alloc(1 << 20);
        for (let count = 0; count < 200; count++) {
            if (!response.write(piece)) await new Promise(done => response.once('drain', done));
        }
        response.end();
    },
    /** As gRPC does it: messages both ways, the status in the trailers. */
    '/test.Echo/Say': (request, response) => {
        response.writeHead(200, { 'content-type': 'application/grpc' });
        request.on('data', piece => response.write(piece));
        request.on('end', () => { response.addTrailers({ 'grpc-status': '0', 'grpc-message': 'done' }); response.end(); });
    },
};
for (const name of ['/events', '/digest', '/much']) routes[name].streams = true;
routes['/test.Echo/Say'].streams = true;

function file(name, response) {
    const found = [name, path.join(name, 'index.html')].find(name => fs.existsSync(name) && fs.statSync(name).isFile());
    response.writeHead(found ? 200 : 404, found?.endsWith('.html') ? { 'content-type': 'text/html' } : {});
    response.end(found && fs.readFileSync(found));
}

/** The model itself speaks HTTP/1.1 in the clear, on the laboratory's loopback. */
function model(request, response) {
    const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !name.startsWith(':')));
    const asked = http.request({ port: 8081, method: request.method, path: request.url, headers }, answer => {
        for (const name of ['connection', 'keep-alive', 'transfer-encoding']) delete answer.headers[name];
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
    });
    asked.on('error', () => response.destroy());
    request.pipe(asked);
}

/** Git's own program for serving repositories over HTTP. SOURCE: git-http-backend(1). */
function git(request, response) {
    const { pathname, search } = new URL(request.url, 'https://unused.example');
    const backend = spawn('git', ['http-backend'], {
        env: {
            PATH: process.env.PATH, GIT_PROJECT_ROOT: path.join(folder, 'repositories'), GIT_HTTP_EXPORT_ALL: '1',
            PATH_INFO: pathname, QUERY_STRING: search.slice(1), REQUEST_METHOD: request.method,
            CONTENT_TYPE: request.headers['content-type'] ?? '', HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
            GIT_PROTOCOL: request.headers['git-protocol'] ?? '',
            // The repositories are the account's, and this may run as root.
            GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*',
        },
    });
    request.pipe(backend.stdin);
    const out = [];
    backend.stdout.on('data', piece => out.push(piece));
    backend.on('close', () => {
        const all = Buffer.concat(out);
        const end = all.indexOf('\r\n\r\n');
        const head = Object.fromEntries(all.subarray(0, end).toString().split('\r\n').map(line => line.split(': ')));
        const status = parseInt(head.Status ?? '200');
        delete head.Status;
        response.writeHead(status, head);
        response.end(all.subarray(end + 4));
    });
}

/** Other protocols that a program offers to go on in are passed over, as they may be. */
function upgrade(request, socket) {
    if (request.headers.upgrade.toLowerCase() === 'websocket') return webSocket(request, socket);
    note({ server: 'http', host: request.headers.host, method: request.method, path: request.url, headers: request.headers });
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 23\r\nconnection: close\r\n\r\nhello from the outside\n');
}

/** SOURCE: RFC 6455. Echoes whole text frames of less than 126 bytes. */
function webSocket(request, socket) {
    note({ server: 'websocket', host: request.headers.host, path: request.url, headers: request.headers });
    if (request.headers.host === 'model.example') return socket.end('HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
    const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`);
    socket.on('data', frame => {
        const length = frame[1] & 127;
        const text = Buffer.from(frame.subarray(6, 6 + length).map((byte, at) => byte ^ frame[2 + at % 4]));
        note({ server: 'websocket', text: text.toString() });
        socket.write(Buffer.concat([Buffer.from([0x81, length]), text]));
    });
    socket.on('close', () => note({ server: 'websocket', closed: true }));
    socket.on('error', () => {});
}

/** Writes down every byte, and answers whatever looks like a request. */
function raw(socket, port) {
    note({ server: 'raw', port, opened: true, sni: socket.servername || undefined });
    socket.on('data', piece => {
        note({ server: 'raw', port, text: piece.toString('latin1') });
        if (piece.includes('\n\r\n') || piece.includes('\n\n')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    });
    socket.on('error', () => {});
}

/** A proxy that wants to know who asks: `user` with the password `open-sesame`. */
function proxy(request, socket) {
    const signedIn = request.headers['proxy-authorization'] === 'Basic ' + Buffer.from('user:open-sesame').toString('base64');
    note({ server: 'proxy', asked: request.url, signedIn });
    socket.on('error', () => {});
    if (!signedIn) return socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm="lab"\r\ncontent-length: 0\r\n\r\n');
    const [host, port] = request.url.split(':');
    const there = net.connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        socket.pipe(there).pipe(socket);
    });
    there.on('error', () => socket.destroy());
}

const web = http.createServer(answer);
const secure = http2.createSecureServer({ key, cert, allowHTTP1: true }, answer);
// A program may end its side with its request.
web.httpAllowHalfOpen = true;
for (const server of [web, secure]) server.on('upgrade', upgrade).on('clientError', (_, socket) => socket.destroy());
secure.on('connection', () => note({ server: 'https', opened: true }));
web.on('connection', () => note({ server: 'http', opened: true }));
const corporate = http.createServer((_, response) => { response.writeHead(405); response.end(); }).on('connect', proxy);
const listening = [
    [web, 80], [secure, 443],
    [net.createServer(socket => raw(socket, 8000)), 8000],
    [tls.createServer({ key, cert }, socket => raw(socket, 8443)).on('tlsClientError', () => {}), 8443],
    [corporate, 3128],
];
for (const [server, port] of listening) await new Promise(done => server.listen(port, '::', done));
console.log('ready');
process.stdin.resume().on('end', () => process.exit());
