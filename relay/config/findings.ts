/** What compiling finds on its way: mistakes that refuse the file, and oddities that do not. */
export interface Findings {
  readonly problems: string[];
  readonly warnings: string[];
}
