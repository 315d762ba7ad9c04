/** The version of the action, as in package.json and the newest section of CHANGELOG.md. */
export const VERSION = '0.1.0'
