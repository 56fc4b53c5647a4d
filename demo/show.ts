import pc from 'picocolors';

/** What the demo prints: numbered steps, the commands it ran, and what they showed. */
export class Show {
  readonly failures: string[] = [];
  #step = 0;
  readonly #startedAt = performance.now();

  step(title: string): void {
    this.#step += 1;
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(1);
    console.log(`\n${pc.bold(pc.cyan(`${this.#step}. ${title}`))} ${pc.dim(`(${seconds} s)`)}`);
  }

  command(text: string): void {
    console.log(`   ${pc.green('$')} ${text}`);
  }

  output(text: string): void {
    for (const line of text.trimEnd().split('\n')) console.log(`     ${pc.dim(line)}`);
  }

  /** Something that changed, and where. */
  change(where: string, what: string): void {
    console.log(`   ${pc.yellow('→')} ${where}: ${what}`);
  }

  /** What the step had to show; a failure ends the demo with exit code 1. */
  expect(condition: boolean, promise: string): void {
    console.log(`   ${condition ? pc.green('✓') : pc.red('✗')} ${promise}`);
    if (!condition) this.failures.push(promise);
  }
}
