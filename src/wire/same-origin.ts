/** Whether a URL is one of a server that a text names; a text that is no URL names none. */
export function isSameOrigin(url: URL, server: string | undefined): boolean {
  return server !== undefined && URL.canParse(server) && new URL(server).origin === url.origin;
}
