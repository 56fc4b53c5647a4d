/** The commit that the branch went on to while an operation was rolling; read by `ensureSchema`. */
export const overtakenColumns = `
alter table ring_operations add column overtaken_by text;
`;
