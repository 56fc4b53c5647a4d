import type { ErrorObject } from 'ajv';
import { badInput, type RinglockError } from '../errors.ts';

/** A place in a parsed file: property names and array indexes from the root. */
export type FilePath = readonly (string | number)[];

/** The error for what a schema refuses, about the value nearest to what is wrong. */
export function invalidFileError(
  file: string,
  errors: readonly ErrorObject[],
  lineOf: (path: FilePath) => number | undefined,
): RinglockError {
  const error = mostSpecific(errors);
  if (error === undefined) return badInput('invalid-file', `${file} is not valid`);
  const path = instancePath(error);
  return badInput('invalid-file', `${at(file, lineOf(path))}: ${complaint(error, path)}`);
}

/** The error for a value that is well-formed but wrong for a reason no schema can say. */
export function invalidValueError(
  file: string,
  line: number | undefined,
  path: FilePath,
  found: unknown,
  expected: string,
): RinglockError {
  const where = at(file, line);
  return badInput(
    'invalid-file',
    `${where}: ${pathName(path)} is ${show(found)}, expected ${expected}`,
  );
}

/** Of several errors (an anyOf reports each branch), the one nearest to the value at fault. */
function mostSpecific(errors: readonly ErrorObject[]): ErrorObject | undefined {
  return errors.reduce<ErrorObject | undefined>((best, error) => {
    if (best === undefined) return error;
    const deeper = error.instancePath.length > best.instancePath.length;
    const sameButWhole =
      error.instancePath.length === best.instancePath.length && error.keyword === 'anyOf';
    return deeper || sameButWhole ? error : best;
  }, undefined);
}

function instancePath(error: ErrorObject): FilePath {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
  if (error.keyword === 'additionalProperties')
    return [...path, error.params['additionalProperty']];
  if (error.propertyName !== undefined) return [...path, error.propertyName];
  return path;
}

function complaint(error: ErrorObject, path: FilePath): string {
  const name = pathName(path);
  if (error.keyword === 'required') {
    const missing = pathName([...path, error.params['missingProperty']]);
    return `${missing} is missing`;
  }
  if (error.keyword === 'additionalProperties') {
    const known = Object.keys(
      (error.parentSchema as { properties?: object } | undefined)?.properties ?? {},
    );
    return `${name} is unknown, expected one of ${known.join(', ')}`;
  }
  if (error.propertyName !== undefined) {
    return `${name} is not a possible name, expected ${expectation(error)}`;
  }
  return `${name} is ${show(error.data)}, expected ${expectation(error)}`;
}

function expectation(error: ErrorObject): string {
  const parent = error.parentSchema as { description?: string } | undefined;
  const schema = error.schema as { description?: string } | undefined;
  if (error.keyword === 'not' && schema?.description !== undefined) return schema.description;
  if (parent?.description !== undefined) return parent.description;
  if (error.keyword === 'enum') return `one of ${(error.schema as unknown[]).join(', ')}`;
  if (error.keyword === 'const') return String(error.schema);
  if (error.keyword === 'type') return [error.schema].flat().join(' or ');
  return error.message ?? 'something else';
}

function pathName(path: FilePath): string {
  if (path.length === 0) return 'the file';
  return path.map((segment) => (typeof segment === 'number' ? `[${segment}]` : segment)).join('.');
}

/** A file, with its line where that is known. */
export function at(file: string, line: number | undefined): string {
  return line === undefined ? file : `${file}:${line}`;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

export function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text;
}
