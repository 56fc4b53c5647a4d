const trailer = 'Ringlock-Override';
const longest = 1000;

/** The line for a commit's message with which its pins go over closed gates. */
export function overrideLine(reason: string): string {
  return `${trailer}: ${reason.replace(/\s+/g, ' ').trim()}`;
}

/** The reason that a commit's message gives for going over closed gates; undefined when it gives none. */
export function readOverride(message: string): string | undefined {
  const lines = message.split('\n').flatMap((line) => {
    const [, reason = ''] = /^Ringlock-Override:[ \t]*(.*)$/i.exec(line) ?? [];
    return reason.trim() === '' ? [] : [reason.trim()];
  });
  return lines.length === 0 ? undefined : lines.join('; ').slice(0, longest);
}
