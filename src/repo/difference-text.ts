import { visibleText } from '../visible-text.ts';
import type { ModuleDifference, ValueDifference } from './module-difference.ts';

type Shown = ModuleDifference & { readonly rings: readonly string[] };

/** A comparison as lines for a terminal. */
export function differenceLines(modules: readonly Shown[]): string[] {
  return modules.flatMap((module) => {
    const { alias, from, to, rings, files, changelog, migrations, dependencies, platform } = module;
    const where = rings.length === 0 ? '' : ` (${rings.join(', ')})`;
    const values = platform === null ? dependencies : [...dependencies, platform];
    return [
      `${alias} ${from ?? 'new'} → ${to ?? 'removed'}${where}`,
      ...files.map((file) => `  ${file.change.padEnd(8)} ${file.path} (${sizes(file)})`),
      ...migrations.up.map((name) => `  migrate  up ${name}`),
      ...migrations.down.map(({ name, has_down }) => `  migrate  ${downText(name, has_down)}`),
      ...migrations.edited.map((name) => `  EDITED   migration ${name}: refused where it has run`),
      ...values.map((value) => `  needs    ${valueText(value)}`),
      ...changelog.flatMap(({ version, text }) => [
        `  ${version}`,
        ...text.split(lineEnds).map((line) => `    ${line}`.trimEnd()),
      ]),
    ];
  });
}

const lineEnds = /\r\n|\r|\n/g;

/** GitHub takes 65,536 characters as a description; what is above it is counted. */
const longest = 60_000;
const mostFiles = 50;
const longestSection = 4_000;

/**
 * A comparison as Markdown for a merge request. What a repository says stands in code spans and blocks only:
 * no name or changelog can be markup, mention anybody, or be a quick action.
 */
export function differenceMarkdown(title: string, modules: readonly Shown[]): string {
  const parts = modules.map(moduleMarkdown);
  let text = `### ${title}\n`;
  for (const [index, part] of parts.entries()) {
    if (text.length + part.length > longest) {
      return `${text}\nAnd ${parts.length - index} more modules: run \`ringlock diff\`.\n`;
    }
    text += `\n${part}`;
  }
  return modules.length === 0 ? `${text}\nNo module changes.\n` : text;
}

function moduleMarkdown(module: Shown): string {
  const { alias, from, to, rings, files, changelog, migrations, dependencies, platform } = module;
  const where = rings.length === 0 ? '' : ` in ${rings.map(code).join(', ')}`;
  const values = platform === null ? dependencies : [...dependencies, platform];
  const more = files.length > mostFiles ? [`- and ${files.length - mostFiles} more files`] : [];
  const lines = [
    `#### ${code(alias)} ${code(from ?? 'new')} → ${code(to ?? 'removed')}${where}`,
    '',
    ...migrations.up.map((name) => `- migration up ${code(name)}`),
    ...migrations.down.map(({ name, has_down }) => `- migration ${code(downText(name, has_down))}`),
    ...migrations.edited.map((name) => `- **edited migration** ${code(name)}`),
    ...values.map((value) => `- needs ${code(valueText(value))}`),
    ...files
      .slice(0, mostFiles)
      .map((file) => `- ${file.change} ${code(file.path)} (${sizes(file)})`),
    ...more,
  ];
  for (const { version, text } of changelog) lines.push('', code(version), '', block(text));
  return `${lines.join('\n')}\n`;
}

function sizes({ from, to }: { readonly from: number | null; readonly to: number | null }): string {
  if (from === null || to === null) return `${from ?? to} bytes`;
  return `${from} → ${to} bytes`;
}

function downText(name: string, hasDown: boolean): string {
  return hasDown ? `down ${name} (where it is marked safe)` : `stays ${name} (it has no step down)`;
}

function valueText({ name, from, to }: ValueDifference): string {
  return `${name} ${from ?? 'none'} → ${to ?? 'none'}`;
}

/** A code span that its content cannot leave: no line break, and a fence longer than any in it. */
export function code(text: string): string {
  const line = visibleText(text).replace(/\n/g, '\\u000a').replace(/\s/g, ' ');
  const fence = fenceFor(line, 1);
  return /^[ `]|[ `]$/.test(line) ? `${fence} ${line} ${fence}` : `${fence}${line}${fence}`;
}

function block(text: string): string {
  const shown = text.length > longestSection ? `${text.slice(0, longestSection)}\n…` : text;
  const safe = shown.split(lineEnds).map(visibleText).join('\n');
  const fence = fenceFor(safe, 3);
  return `${fence}text\n${safe}\n${fence}`;
}

function fenceFor(text: string, least: number): string {
  let length = least;
  for (const [run] of text.matchAll(/`+/g)) length = Math.max(length, run.length + 1);
  return '`'.repeat(length);
}
