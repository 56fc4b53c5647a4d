import { Command } from 'clipanion';
import { BaseTenantModuleCommand } from './base-tenant-module.ts';

export class TenantEnableCommand extends BaseTenantModuleCommand {
  static override paths = [['tenant', 'enable']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Enable a module for a tenant.',
    details: `
      Refused when the lock of the tenant's ring does not have the module. Once committed, the module's
      onEnable runs for the tenant.
    `,
    examples: [['A module more', 'ringlock tenant enable acme orders']],
  });

  run(): Promise<number> {
    return this.change('enabled');
  }
}
