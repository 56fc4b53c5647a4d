import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { fill, money } from './template.mjs';

const templates = fileURLToPath(new URL('../templates/', import.meta.url));
const [name = '', language = 'en'] = process.argv.slice(2);
const file = `${name}.${language}.txt`;
if (!readdirSync(templates).includes(file)) {
  process.stderr.write(`communications: no template ${file} in ${templates}\n`);
  process.exit(1);
}
const order = JSON.parse(readFileSync(0, 'utf8'));
const values = { ...order, total: money(order.total, order.currency ?? 'EUR', language) };
process.stdout.write(fill(readFileSync(`${templates}${file}`, 'utf8'), values));
