// two.mjs FILE: makes the requests of a file of JSON on one connection of HTTP/2, all at
// once, and prints the status of each, or the name of its error.
import fs from 'node:fs';
import http2 from 'node:http2';

const session = http2.connect('https://api.example');
session.on('error', () => {});
const answers = JSON.parse(fs.readFileSync(process.argv[2])).map(headers => new Promise(done => {
    try {
        const request = session.request(headers);
        request.on('response', answer => { request.resume(); done(answer[':status']); });
        request.on('error', error => done(`error ${error.code}`));
        request.on('close', () => done('error closed'));
        request.setTimeout(5000, () => done('error silence'));
        request.end();
    } catch (error) { done(`error ${error.code}`); }
}));
for (const answer of answers) console.log(await answer);
session.destroy();
