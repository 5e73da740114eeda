// A wire that is long: what comes in at one side goes out at the other `wait` ms later, in order, however much it is.
import net from 'node:net';

const { port, wait } = JSON.parse(process.argv[2]);

function later(from, to) {
  const queue = [];
  let timer = null;
  const flush = () => {
    timer = null;
    const now = performance.now();
    to.cork();
    while (queue.length && queue[0].due <= now + 0.2) {
      const { piece } = queue.shift();
      if (piece) to.write(piece);
      else to.end();
    }
    to.uncork();
    if (queue.length) timer = setTimeout(flush, Math.max(1, queue[0].due - performance.now()));
  };
  const push = (piece) => {
    queue.push({ due: performance.now() + wait, piece });
    timer ??= setTimeout(flush, wait);
  };
  from.on('data', push);
  from.on('end', () => push(null));
  from.on('error', () => to.destroy());
  from.on('close', () => { if (from.errored) to.destroy(); });
}

const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
  const far = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  later(near, far);
  later(far, near);
});
server.listen(0, '127.0.0.1', 1000, () => console.log(JSON.stringify({ port: server.address().port })));
