/** The import rules of the rooms; test/import-rules.test.ts plants violations to prove that they bite. */
const pureRooms = '^src/(repo|digest|plan)/';
const ioModules =
  '^(node:)?(fs|fs/promises|net|http|https|http2|tls|dgram|dns|child_process|worker_threads|cluster|os|process)$';

module.exports = {
  forbidden: [
    {
      name: 'pure-rooms-stay-pure',
      comment: 'repo, digest and plan decide; they read no disk, network, process or clock.',
      severity: 'error',
      from: { path: pureRooms },
      to: { dependencyTypes: ['core'], path: ioModules },
    },
    {
      name: 'pure-rooms-import-only-pure-rooms',
      comment:
        'A pure room may use another pure room, src/errors.ts and src/visible-text.ts, nothing that does I/O.',
      severity: 'error',
      from: { path: pureRooms },
      to: { path: '^src/', pathNot: '^src/((repo|digest|plan)/|errors\\.ts$|visible-text\\.ts$)' },
    },
    {
      name: 'pure-rooms-use-pure-packages',
      comment: 'Packages that do I/O have no place in a pure room.',
      severity: 'error',
      from: { path: pureRooms },
      to: { path: 'node_modules/(undici|pg|isomorphic-git|sql\\.js|hono|@hono|pino|umzug)/' },
    },
    {
      name: 'nobody-imports-commands',
      comment: 'Only the command table (src/command-line.ts) loads a command.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(command-line\\.ts$|commands/)' },
      to: { path: '^src/commands/' },
    },
    {
      name: 'commands-import-no-command',
      comment: 'A command parses, calls and prints; what two commands share lives in a room.',
      severity: 'error',
      from: { path: '^src/commands/', pathNot: '^src/commands/base[a-z-]*\\.ts$' },
      to: { path: '^src/commands/', pathNot: '^src/commands/base[a-z-]*\\.ts$' },
    },
    {
      name: 'data-flows-one-way',
      comment:
        'commit -> lock -> plan -> execute -> audit: what stands earlier never asks what stands later.',
      severity: 'error',
      from: { path: '^src/(git|source|store|audit)/' },
      to: { path: '^src/(reconcile|serve|ui|outward)/' },
    },
    {
      name: 'telling-asks-nothing-of-the-loop',
      comment: 'outward is given what it tells: it can neither wait for a pass nor begin one.',
      severity: 'error',
      from: { path: '^src/outward/' },
      to: { path: '^src/(reconcile|serve|ui)/', pathNot: '^src/reconcile/log\\.ts$' },
    },
    {
      name: 'applications-load-little',
      comment: 'What an application imports reads a root: no git, no network, no database.',
      severity: 'error',
      from: { path: '^src/loader/' },
      to: { path: '^src/', pathNot: '^src/((loader|repo|digest|store)/|errors\\.ts$)' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    parser: 'swc',
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.js', '.json'],
    },
  },
};
