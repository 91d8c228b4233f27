/** Makes what ends the process at the n-th passage of a point around a commit, in whatever thread the core runs. */
export default (kill) => {
  let count = 0
  return (point) => {
    if (point !== kill?.point || ++count !== kill.nth) return
    // A thread alone: what its loss does to the rest of the process is what is looked at.
    if (kill.thread === true) process.exit(3)
    process.kill(process.pid, 'SIGKILL')
  }
}
