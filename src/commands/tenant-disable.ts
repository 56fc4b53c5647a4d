import { Command } from 'clipanion';
import { BaseTenantModuleCommand } from './base-tenant-module.ts';

export class TenantDisableCommand extends BaseTenantModuleCommand {
  static override paths = [['tenant', 'disable']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Disable a module for a tenant.',
    details: `
      Once committed, the module's onDisable runs for the tenant. A module that the ring no longer has can
      be disabled, too.
    `,
    examples: [['A module less', 'ringlock tenant disable acme orders']],
  });

  run(): Promise<number> {
    return this.change('disabled');
  }
}
