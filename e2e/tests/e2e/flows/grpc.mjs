// A call of gRPC: sends a message, waits for its echo, sends the next.
import http2 from 'node:http2';

const session = http2.connect('https://api.example');
const call = session.request({ ':method': 'POST', ':path': '/test.Echo/Say', 'content-type': 'application/grpc', te: 'trailers' });
call.on('response', headers => { console.log(headers['content-type']); });
call.on('data', piece => {
    console.log(piece.toString());
    if (piece.toString() === 'one') { call.write('two'); call.end(); }
});
call.on('trailers', trailers => console.log('status', trailers['grpc-status']));
call.on('close', () => session.close());
call.write('one');
setTimeout(() => { console.log('waited in vain'); process.exit(1); }, 9000).unref();
