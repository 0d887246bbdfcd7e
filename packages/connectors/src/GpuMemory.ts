/** How much memory a GPU is said to have. */

const gigabyte = 1024 ** 3
/** The sizes in which memory of GPUs is sold, in GB. */
const nominal = [
  1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 16, 18, 20, 22, 24, 32, 40, 44, 46, 48, 64, 72, 80, 94, 96, 128, 141, 144, 180, 192,
  256, 288
]

/**
 * What stands on the box of a GPU that reports so many bytes: a 24 GB card reports 23.6, or 22 with error correction. The
 * next size that is sold, when at most a tenth is missing; otherwise whole GB, rounded down.
 */
export const nominalGigabytes = (bytes: number): number => {
  const reported = bytes / gigabyte
  const sold = nominal.find((size) => size >= reported - 0.01)
  return sold !== undefined && reported >= sold * 0.9 ? sold : Math.floor(reported)
}
