/** Control characters, and what turns the direction of writing. */
const steering = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/** A name from elsewhere on one line: no line break in it begins a line that a runner takes for a command. */
export function printableName(name: string): string {
  return name.replace(
    steering,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A word of a command that somebody may copy into a shell: git allows `$(…)` in a branch's name. */
export function shellWord(text: string): string {
  return /^[\w./@:+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
