/** When an alert is raised. Times in ms, shares 0 to 1. */
export interface AlertThresholds {
  /** The failure rate of the last ten minutes is so many times that of the hour, of at least so many attempts. */
  failureFactor: number
  failureAttempts: number
  /** Tokens a second that no slot of a GPU makes. */
  maxTokensPerSecond: number
  /** A whole answer in less than this is none of a language model; so many of them in an hour are no accident. */
  minAnswerMs: number
  quickAnswers: number
  /** Of the newest 20 answers of a node. */
  emptyShare: number
  /** Of the newest 256 answers of a node, those that it gave to other prompts too. */
  sameOutputShare: number
  /** Accepted attempts of the last hour that were lost or timed out: so many, and such a share. */
  hoardedAttempts: number
  hoardedShare: number
  /** The share of the results of the last 15 minutes that one node, or one network, has where others serve. */
  concentration: number
  /** Failed authentications, replays, wrong keys in a minute: of all, and of one address. */
  authFailures: number
  authFailuresPerAddress: number
  /** A fee so many times the median of its model's newest fees. */
  feeFactor: number
  /** Submissions of an owner, new nodes, new owners in an hour, so many times the usual hour. */
  surgeFactor: number
  /** Actions of operators in a minute. */
  operatorActions: number
  /** Answers 500 in a minute. */
  serverErrors: number
}
