// Nodemailer's pool: twice as many messages on the way as connections, so that no connection waits for a row.
import nodemailer from 'nodemailer';
import { finish, letters, plan } from './letters.mjs';

const transport = nodemailer.createTransport({
  host: plan.host, port: plan.port, pool: true, maxConnections: plan.connections, maxMessages: Infinity,
  secure: Boolean(plan.ca), ignoreTLS: !plan.ca, tls: plan.ca ? { ca: plan.ca } : undefined,
});
const source = letters();
let sent = 0;
await Promise.all(Array.from({ length: plan.connections * 2 }, async () => {
  for await (const letter of { [Symbol.asyncIterator]: () => ({ next: () => source.next() }) }) {
    await transport.sendMail({ from: plan.from, ...letter });
    sent += 1;
  }
}));
transport.close();
finish(sent);
