/** Where sessions of nodes and of submitters begin. */
export const NODES = '/api/v1/nodes/connect'
export const TASKS = '/api/v1/tasks/connect'
