import { converged, head, type Phase } from './arrangement.ts';
import { collect, deliverBacklog, removeOrAdd, repair, rollback, upgrade } from './phases.ts';
import {
  mend,
  migratingRevert,
  migratingUpgrade,
  overtakenUpgrade,
  rollBackLocally,
  sickUpgrade,
  unhold,
} from './ring-phases.ts';

/** One life of a root: what happens to it, in order; the first phase finds it empty. */
export const life: readonly Phase[] = [
  { name: 'install', arrange: async ({ platform }) => ({ expected: converged(head(platform)) }) },
  { name: 'migrating upgrade', arrange: migratingUpgrade },
  { name: 'migrating revert', arrange: migratingRevert },
  { name: 'sick upgrade', needs: 'application', arrange: sickUpgrade },
  { name: 'repair while held', needs: 'application', arrange: repair },
  { name: 'mending', needs: 'application', arrange: mend },
  { name: 'overtaken upgrade', arrange: overtakenUpgrade },
  { name: 'local rollback', arrange: rollBackLocally },
  { name: 'local unhold', arrange: unhold },
  { name: 'upgrade', arrange: upgrade },
  { name: 'rollback', arrange: rollback },
  { name: 'repair', arrange: repair },
  { name: 'migrating upgrade', arrange: migratingUpgrade },
  { name: 'upgrade', arrange: upgrade },
  { name: 'removal', arrange: removeOrAdd },
  { name: 'delivery', needs: 'database', arrange: deliverBacklog },
  { name: 'upgrade', arrange: upgrade },
  { name: 'gc', arrange: collect },
  { name: 'install', arrange: removeOrAdd },
  { name: 'repair', arrange: repair },
  { name: 'rollback', arrange: rollback },
  { name: 'gc', arrange: collect },
];
