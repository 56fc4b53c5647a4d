import { Ajv, type ValidateFunction } from 'ajv';
import lockSchema from '../../manifests/schema/lock.schema.json' with { type: 'json' };
import moduleSchema from '../../manifests/schema/module.schema.json' with { type: 'json' };
import ringSchema from '../../manifests/schema/ring.schema.json' with { type: 'json' };
import settingsSchema from '../../manifests/schema/settings.schema.json' with { type: 'json' };
import tenantsSchema from '../../manifests/schema/tenants.schema.json' with { type: 'json' };

// The bundle does not contain this file: scripts/build.mjs compiles the same schemas to plain
// functions, since loading ajv and compiling costs 130 ms at start and the functions cost 2.
const ajv = new Ajv({ verbose: true, allowUnionTypes: true });

/** The validators of the committed files: the very schemas that `manifests/schema/` gives to editors. */
export const moduleValidator: ValidateFunction = ajv.compile(moduleSchema);
export const lockValidator: ValidateFunction = ajv.compile(lockSchema);
export const ringValidator: ValidateFunction = ajv.compile(ringSchema);
export const tenantsValidator: ValidateFunction = ajv.compile(tenantsSchema);
export const settingsValidator: ValidateFunction = ajv.compile(settingsSchema);
