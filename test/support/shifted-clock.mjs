// Loaded into the built program with --import: its clock is off by as many milliseconds as a file says,
// which may change while it runs.
import { readFileSync } from 'node:fs';

const file = process.env['RINGLOCK_TEST_CLOCK'];
const RealDate = Date;
const offset = () => Number(readFileSync(file, 'utf8'));

globalThis.Date = class extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(RealDate.now() + offset());
    else super(...args);
  }
  static now() {
    return RealDate.now() + offset();
  }
};
