import { Command, Option } from 'clipanion';
import { RinglockError } from '../errors.ts';
import { withProgress } from '../progress.ts';
import { redact, redactValues } from '../redaction.ts';
import { visibleText } from '../visible-text.ts';

/**
 * What every command shares: `--json`, `--verbose`, `-C`, and how errors end.
 * A command implements run() and returns its exit code.
 */
export abstract class BaseCommand extends Command {
  json = Option.Boolean('--json', false, {
    description: 'Print one JSON document instead of text.',
  });
  verbose = Option.Boolean('--verbose', false, {
    description: 'Print stack traces and more detail.',
  });
  cwd = Option.String('-C,--directory', process.cwd(), {
    description: 'Run as if started in this directory.',
  });

  /** @returns the exit code: 0 done, 1 a check failed, 2 bad input, 3 the environment failed */
  abstract run(): Promise<number>;

  override async execute(): Promise<number> {
    try {
      return await this.run();
    } catch (error) {
      return this.reportError(error);
    }
  }

  /** Prints a line of text, unless `--json` is given; whatever it quotes cannot steer the terminal. */
  protected say(text = ''): void {
    if (!this.json) this.context.stdout.write(`${visibleText(redact(text))}\n`);
  }

  /** Prints the command's one JSON document, if `--json` is given. */
  protected answer(value: unknown): void {
    if (!this.json) return;
    this.context.stdout.write(`${JSON.stringify(redactValues(value), null, 2)}\n`);
  }

  /** Runs work, saying on a terminal what is being done once that takes a while. */
  protected progress<T>(label: string, work: () => Promise<T>): Promise<T> {
    return withProgress(this.context.stderr as NodeJS.WriteStream, label, work);
  }

  private reportError(error: unknown): number {
    if (!(error instanceof RinglockError)) {
      const text = error instanceof Error ? error : new Error(String(error));
      this.answer({ error: { code: 'unexpected', message: text.message } });
      const shown = (this.verbose ? text.stack : undefined) ?? text.message;
      this.context.stderr.write(`ringlock: ${redact(shown)}\n`);
      if (!this.verbose) this.context.stderr.write('  Run again with --verbose for the details.\n');
      return 3;
    }
    const { code, message, hint, details, exitCode } = error;
    this.answer({ error: { code, message, ...(hint && { hint }), ...(details && { details }) } });
    if (!this.json) {
      this.context.stderr.write(`ringlock: ${message}\n`);
      if (hint !== undefined) this.context.stderr.write(`  ${hint.replaceAll('\n', '\n  ')}\n`);
    }
    if (this.verbose) this.context.stderr.write(`${redact(error.stack ?? '')}\n`);
    return exitCode;
  }
}
