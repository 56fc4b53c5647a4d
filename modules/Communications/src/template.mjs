/** `{{name}}` and `{{customer.name}}`: a path into the values. */
const placeholder = /\{\{\s*([a-z_]+(?:\.[a-z_]+)*)\s*\}\}/g;

/** The paths that a template needs, each once, in order. */
export function neededValues(template) {
  return [...new Set([...template.matchAll(placeholder)].map(([, path]) => path))];
}

/**
 * Fills a template in.
 *
 * @param {string} template
 * @param {object} values
 * @throws {Error} naming the first value that is missing: a customer never reads `undefined`
 */
export function fill(template, values) {
  return template.replaceAll(placeholder, (_, path) => {
    const value = path.split('.').reduce((at, key) => at?.[key], values);
    if (value === undefined || value === null) throw new Error(`no value for {{${path}}}`);
    return String(value);
  });
}

/** Minor units as people write them: 3990 EUR in German is `39,90 €`. */
export function money(minor, currency, language) {
  const format = new Intl.NumberFormat(language, { style: 'currency', currency });
  return format.format(minor / 100);
}
