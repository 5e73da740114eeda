// An SMTP server for what smtp-sink lacks: TLS from the start, CHUNKING (RFC 3030), a wait before each acceptance,
// and keeping what came. It reads what a sender may send in a group (RFC 2920) and answers a group in one write.
import net from 'node:net';
import tls from 'node:tls';
import { appendFileSync } from 'node:fs';

const options = JSON.parse(process.argv[2]); // {cert, key, pipelining, chunking, wait: ms, keep: path}
const CRLF = Buffer.from('\r\n');
const END = Buffer.from('\r\n.\r\n');
const EHLO = ['sink', '8BITMIME', 'SIZE 50000000', 'SMTPUTF8', 'ENHANCEDSTATUSCODES'];
if (options.pipelining) EHLO.push('PIPELINING');
if (options.chunking) EHLO.push('CHUNKING');
const HELLO = EHLO.map((line, index) => `250${index === EHLO.length - 1 ? ' ' : '-'}${line}\r\n`).join('');
let messages = 0;

function serve(socket) {
  socket.setNoDelay(true);
  let held = null; // what has come and is no whole command yet
  let state = 'command'; // command | data | chunk
  let left = 0; // octets of the chunk that are still to come
  let last = false;
  let tail = ''; // the last four octets of a message whose end has not come yet
  let kept = [];
  let answers = '';
  let envelope = {};
  let paused = Promise.resolve();

  const answer = (text) => { answers += text; };
  const accept = () => {
    messages += 1;
    if (messages === 1) console.log(JSON.stringify({ first: Date.now() }));
    if (options.keep) {
      appendFileSync(options.keep, JSON.stringify({ ...envelope, data: Buffer.concat(kept).toString('base64') }) + '\n');
    }
    kept = [];
    envelope = {};
    if (options.wait) {
      const before = answers;
      answers = '';
      paused = paused.then(() => {
        if (before) socket.write(before, 'latin1');
        return new Promise((done) => { setTimeout(done, options.wait); });
      });
    }
    answer('250 2.0.0 accepted\r\n');
  };
  const command = (line) => {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === 'MAIL') { envelope = { from: line, to: [] }; answer('250 2.1.0 ok\r\n'); }
    else if (verb === 'RCPT') { (envelope.to ??= []).push(line); answer('250 2.1.5 ok\r\n'); }
    else if (verb === 'DATA') { state = 'data'; envelope.dots = true; tail = '\r\n'; answer('354 go on\r\n'); }
    else if (verb === 'BDAT' && options.chunking) {
      const parts = line.split(' ');
      left = Number(parts[1]);
      last = parts[2]?.toUpperCase() === 'LAST';
      state = 'chunk';
    }
    else if (verb === 'EHLO' || verb === 'HELO') answer(HELLO);
    else if (verb === 'QUIT') { answer('221 2.0.0 bye\r\n'); state = 'over'; }
    else if (verb === 'RSET' || verb === 'NOOP') answer('250 2.0.0 ok\r\n');
    else answer('500 5.5.2 not known here\r\n');
  };

  socket.on('error', () => socket.destroy());
  socket.on('data', (piece) => {
    let data = held ? Buffer.concat([held, piece]) : piece;
    held = null;
    let at = 0;
    while (at < data.length || (state === 'chunk' && left === 0)) {
      if (state === 'command') {
        const end = data.indexOf(CRLF, at);
        if (end < 0) break;
        command(data.latin1Slice(at, end));
        at = end + 2;
      } else if (state === 'chunk') {
        const taken = Math.min(left, data.length - at);
        if (options.keep) kept.push(Buffer.from(data.subarray(at, at + taken)));
        at += taken;
        left -= taken;
        if (left) break;
        state = 'command';
        if (last) accept();
        else answer('250 2.0.0 chunk\r\n');
      } else if (state === 'data') {
        // The end may be cut anywhere: look at the seam with the last octets of the piece before.
        const seam = tail + data.latin1Slice(at, Math.min(at + 4, data.length));
        const cut = seam.indexOf('\r\n.\r\n');
        let end;
        if (cut >= 0) end = at + cut + 5 - tail.length;
        else {
          const found = data.indexOf(END, at);
          end = found < 0 ? -1 : found + 5;
        }
        const upTo = end < 0 ? data.length : end;
        if (options.keep) kept.push(Buffer.from(data.subarray(at, upTo)));
        if (end < 0) tail = (tail + data.latin1Slice(Math.max(at, data.length - 4))).slice(-4);
        at = upTo;
        if (end < 0) break;
        state = 'command';
        accept();
      } else break;
    }
    if (at < data.length && state === 'command') held = data.subarray(at);
    if (!answers) return;
    const text = answers;
    answers = '';
    const over = state === 'over';
    const write = () => { if (over) socket.end(text, 'latin1'); else socket.write(text, 'latin1'); };
    if (options.wait) paused = paused.then(write);
    else write();
  });
  socket.write('220 sink ESMTP\r\n', 'latin1');
}

const server = options.cert ? tls.createServer({ cert: options.cert, key: options.key }, serve) : net.createServer(serve);
server.on('tlsClientError', () => {});
server.listen(0, '127.0.0.1', 1000, () => console.log(JSON.stringify({ port: server.address().port })));
process.on('SIGUSR2', () => { console.log(JSON.stringify({ messages })); messages = 0; });
