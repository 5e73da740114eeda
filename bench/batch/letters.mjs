// What both peers share: the same templates by nunjucks, the same rows by csv-parse, one message a row.
import { createReadStream } from 'node:fs';
import { parse } from 'csv-parse';
import nunjucks from 'nunjucks';

export const plan = JSON.parse(process.env.BENCH);

const tags = {
  blockStart: '<%', blockEnd: '%>', variableStart: '<<', variableEnd: '>>', commentStart: '<#', commentEnd: '#>',
};
const loader = new nunjucks.FileSystemLoader(plan.templates);
const html = new nunjucks.Environment(loader, { autoescape: true, tags });
const text = new nunjucks.Environment(loader, { autoescape: false, tags });
const htmlBody = html.getTemplate('order.html', true);
const textBody = text.getTemplate('order.txt', true);
const subject = new nunjucks.Template(plan.subject, text, 'subject', true);

/** Every row as a message, in the words of nobody's library. */
export async function* letters() {
  for await (const row of createReadStream(plan.data).pipe(parse({ columns: true, bom: true }))) {
    const context = { trigger: { body: row } };
    yield {
      to: { name: row.name, address: row.email },
      subject: subject.render(context),
      text: textBody.render(context),
      html: htmlBody.render(context),
    };
  }
}

export function finish(sent) {
  if (sent !== plan.rows) {
    console.error(`${sent} of ${plan.rows} messages were accepted`);
    process.exitCode = 1;
  }
}
