/**
 * What the id of a task may be, wherever it comes from.
 */

/** Visible characters, of which no URL would take a point or two for a folder. */
export const TASK_ID = /^(?!\.{1,2}$)[^\s\p{C}]{1,200}$/u
