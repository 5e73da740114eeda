// @upyo/smtp: one sendMany a connection, which spares the RSET that its send() puts behind every message.
import { createMessage } from '@upyo/core';
import { SmtpTransport } from '@upyo/smtp';
import { finish, letters, plan } from './letters.mjs';

const transport = new SmtpTransport({
  host: plan.host, port: plan.port, secure: Boolean(plan.ca), poolSize: plan.connections,
  tls: plan.ca ? { ca: [plan.ca] } : undefined,
});
const source = letters();
const messages = {
  async *[Symbol.asyncIterator]() {
    for (;;) {
      const { value, done } = await source.next();
      if (done) return;
      const { to, subject, text, html } = value;
      yield createMessage({ from: plan.from, to, subject, content: { text, html } });
    }
  },
};
let sent = 0;
await Promise.all(Array.from({ length: plan.connections }, async () => {
  for await (const receipt of transport.sendMany(messages)) {
    if (receipt.successful) sent += 1;
    else console.error(receipt.errorMessages.join(', '));
  }
}));
await transport.closeAllConnections();
finish(sent);
