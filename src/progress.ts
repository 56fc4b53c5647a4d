/** Work shorter than this shows nothing: a flash of text tells nobody anything. */
const quietMs = 500;

interface ProgressStream {
  readonly isTTY?: boolean;
}

/**
 * Runs work and, once it has taken half a second, says on a terminal what is being done; elsewhere
 * (a pipe, a CI log) nothing is written.
 */
export async function withProgress<T>(
  stream: ProgressStream,
  label: string,
  work: () => Promise<T>,
): Promise<T> {
  if (stream.isTTY !== true) return await work();
  let stop = () => {};
  const timer = setTimeout(async () => {
    const { default: ora } = await import('ora');
    const spinner = ora({ text: label, stream: process.stderr }).start();
    stop = () => spinner.stop();
  }, quietMs);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
    stop();
  }
}
