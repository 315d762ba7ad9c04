/** The version of the action, as package.json and the newest section of CHANGELOG.md say it. */
export const VERSION = '0.1.0'
