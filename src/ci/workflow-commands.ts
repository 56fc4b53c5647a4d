import type { CiFinding } from './finding.ts';

/**
 * The findings as GitHub's workflow commands, one a line: what stands at the lines of a pull request.
 *
 * https://docs.github.com/actions/reference/workflow-commands-for-github-actions
 */
export function workflowCommands(findings: readonly CiFinding[]): string[] {
  return findings.map(({ severity, file, line, check, message, mend }) => {
    const properties = `file=${property(file)},line=${line},title=${property(`ringlock ${check}`)}`;
    const text = mend === undefined ? message : `${message}\n→ ${mend}`;
    return `::${severity} ${properties}::${data(text)}`;
  });
}

/**
 * Text between the two lines is not searched for commands: a runner takes a line that begins with `::`
 * for one, blanks before it or not, and a changed file may have such a name.
 *
 * @param token nobody can guess
 */
export function withoutCommands(token: string): { readonly begin: string; readonly end: string } {
  return { begin: `::stop-commands::${token}`, end: `::${token}::` };
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
