const steering = /[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]/gu;

/**
 * Text that nothing can steer a terminal with: control characters but newline and tab, and what turns the
 * direction of writing, stand as their code points. Repositories, packages and servers may have put them there.
 */
export function visibleText(text: string): string {
  return text.replace(
    steering,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
