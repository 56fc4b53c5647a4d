export const gates = ['module-version-check', 'module-lock-validate', 'module-changelog-check'];
export const builds = ['build-api', 'build-horizon'];

/** The reference's table: what changes, and exactly the jobs that fire for it. */
export const rows: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  [
    'a module’s backend',
    ['modules/Orders/backend/Order.php'],
    [...gates, 'module-split', ...builds],
  ],
  [
    'a module’s frontend',
    ['modules/Orders/frontend/list.tsx'],
    [...gates, 'module-split', ...builds, 'build-frontend'],
  ],
  ['a module’s module.json only', ['modules/Orders/module.json'], [...gates, 'module-split']],
  ['a module’s changelog', ['modules/Orders/CHANGELOG.md'], [...gates, 'module-split']],
  // The one difference: in the reference nothing fires, but a lock is the deployment.
  ['a ring’s lock', ['manifests/edge.lock.json'], ['verify']],
  ['the platform’s backend', ['backend/app/Kernel.php'], builds],
  ['the platform’s frontend', ['frontend/pages/index.tsx'], ['build-frontend']],
  ['docs', ['docs/guide/rings.md'], ['build-docs']],
  ['composer.json', ['composer.json'], builds],
  ['composer.lock', ['composer.lock'], builds],
  ['CI scripts', ['ci/scripts/check.sh'], []],
  ['.gitlab-ci.yml', ['.gitlab-ci.yml'], []],
  ['k8s', ['k8s/base/api.yaml'], []],
  ['overlays', ['overlays/rings/edge/kustomization.yaml'], []],
  ['the README at the top', ['README.md'], []],
  ['what lies beside the modules', ['modules/README.md'], []],
  ['nothing', [], []],
];
