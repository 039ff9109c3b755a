/**
 * Kubernetes quantities ("100m", "1Gi", "2e3") as exact numbers, because the API server rewrites them to its own
 * form: "1000m" is stored as "1" and "1024Mi" as "1Gi". Exact: no floating point.
 */

const pattern = /^([+-]?)(\d+)(?:\.(\d*))?(?:([eE])([+-]?\d{1,3})|(m|u|n|k|Ki|Mi|Gi|Ti|Pi|Ei|M|G|T|P|E))?$/;

const decimal: Record<string, number> = { n: -9, u: -6, m: -3, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const binary: Record<string, number> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };
/** Nano is the finest quantity there is; a fraction may add some digits before it is cut. */
const scaleDigits = 18;

/** The value times 10^18; undefined when `text` is no quantity. */
export function parseQuantity(text: string): bigint | undefined {
  const match = pattern.exec(text);
  if (!match) return undefined;
  const [, sign, whole, fraction = '', , exponent, suffix] = match;
  const power = Number(exponent ?? 0) + (decimal[suffix ?? ''] ?? 0);
  const digits = scaleDigits + power - fraction.length;
  const bits = BigInt(binary[suffix ?? ''] ?? 0);
  const unscaled = BigInt(`${whole}${fraction}`) << bits;
  const value = digits >= 0 ? unscaled * 10n ** BigInt(digits) : unscaled / 10n ** BigInt(-digits);
  return sign === '-' ? -value : value;
}

/** Whether both are quantities of the same size, such as "1" and "1000m", or 1 and "1". */
export function sameQuantity(a: unknown, b: unknown): boolean {
  if (!isScalar(a) || !isScalar(b)) return false;
  const left = parseQuantity(String(a));
  return left !== undefined && left === parseQuantity(String(b));
}

function isScalar(value: unknown): value is string | number {
  return typeof value === 'string' || typeof value === 'number';
}
