// The contract of rings, in one process: what each part needs takes longer to load than to run.
import './ring-isolation.ts';
import './ring-multi-module.ts';
import './ring-promotion.ts';
import './ring-merges.ts';
import './ring-gates.ts';
