// Discord's ids: 64-bit numbers as text that grow with time.

const EPOCH = 1420070400000n;

export const byId = (a, b) => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);

export function timeOf(id) {
  return new Date(Number((BigInt(id) >> 22n) + EPOCH));
}
