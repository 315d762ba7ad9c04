/**
 * Which task ids are valid, wherever they come from.
 */

/** Visible characters, but neither `.` nor `..`, which a URL would treat as folders. */
export const TASK_ID = /^(?!\.{1,2}$)[^\s\p{C}]{1,200}$/u
