import type { ValidateFunction } from 'ajv';
import { badInput, type RinglockError } from '../errors.ts';
import {
  at,
  type FilePath,
  firstLine,
  invalidFileError,
  invalidValueError,
} from './invalid-file.ts';
import { brokenLine, lineAt, lineOfValue } from './json-position.ts';
import { findDuplicateKey, isNestedDeeper } from './json-tokens.ts';

/**
 * Parses JSON and validates it.
 *
 * @param file the name that messages give, relative to the repository
 * @throws RinglockError `invalid-json` or `invalid-file`, naming file, line, value and expectation
 */
export function parseJsonFile(text: string, file: string, validate: ValidateFunction): unknown {
  if (isNestedDeeper(text, deepestJson)) {
    throw badInput('invalid-file', `${file} is nested deeper than ${deepestJson}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const conflict = conflictLine(text);
    const where = at(file, conflict ?? brokenLine(text));
    throw badInput('invalid-json', `${where} is not JSON: ${jsonReason(error)}`, {
      hint:
        conflict === undefined
          ? 'Expected a JSON document as RFC 8259 defines it.'
          : 'It has merge conflict markers: resolve them first.',
    });
  }
  const twice = findDuplicateKey(text);
  if (twice !== undefined) {
    const where = at(file, lineAt(text, twice.offset));
    throw badInput(
      'invalid-file',
      `${where}: ${JSON.stringify(twice.key)} stands there twice, expected once`,
    );
  }
  if (!validate(value)) {
    throw invalidFileError(file, validate.errors ?? [], (path) => lineOfValue(text, path));
  }
  return value;
}

/** No committed file needs more than ten; what walks a value is recursive. */
const deepestJson = 64;

/** The error for a value of a JSON text that is well-formed but wrong for a reason no schema can say. */
export function invalidJsonValue(
  text: string,
  file: string,
  path: FilePath,
  found: unknown,
  expected: string,
): RinglockError {
  return invalidValueError(file, lineOfValue(text, path), path, found, expected);
}

/** The 1-based line of the first conflict marker that git left in a text; undefined without one. */
export function conflictLine(text: string): number | undefined {
  const start = text.search(/^<{7,}( |$)/m);
  return start < 0 || !/^>{7,}( |$)/m.test(text) ? undefined : lineAt(text, start);
}

function jsonReason(error: unknown): string {
  return firstLine(error instanceof Error ? error.message : String(error));
}
