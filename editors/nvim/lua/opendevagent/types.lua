---@meta
-- The words of the client and of its protocol with the server.

---@class opendevagent.Options  `vim.g.opendevagent`; every field may be left out
---@field cmd? string[]      how to start the server; default { 'opendevagent', 'lsp' }
---@field settings? table    the server's settings, section `opendevagent`
---@field review? boolean    proposals in a diff tab (default) or, with false, as a question
---@field quickfix? boolean  what a task found also as a quickfix list (default), or not

---@alias opendevagent.Action 'plan'|'generate'|'fix'|'tests'|'review'|'explain'|'run'
---@alias opendevagent.Phase
---| 'queued'|'planning'|'coding'|'testing'|'debugging'
---| 'complete'|'failed'|'cancelled'

---@class opendevagent.Target  where an action was asked for
---@field bufnr integer
---@field first integer      0-based line
---@field last integer       0-based line, inclusive
---@field column? integer    byte column of the cursor; absent when whole lines are meant
---@field workspace? boolean  the workspace of this buffer is meant instead

---@class opendevagent.Arguments  what the seven actions take
---@field uri string
---@field range? lsp.Range              absent for a workspace
---@field diagnostics? lsp.Diagnostic[]
---@field instruction? string
---@field language? string
---@field framework? string
---@field check? string
---@field budget? number     US dollars

---@class opendevagent.Verdict
---@field level 'proven'|'passing'|'runs'|'failing'|'unverified'
---@field reason string

---@class opendevagent.Tests
---@field run integer
---@field passed integer
---@field failed integer

---@class opendevagent.Event
---@field task string
---@field seq integer
---@field at integer         milliseconds since the Unix epoch
---@field kind 'started'|'phase'|'said'|'waiting'|'ran'|'found'|'usage'|'ended'|'noted'
---@field action? opendevagent.Action              started
---@field title? string                            started
---@field phase? opendevagent.Phase                phase, ended
---@field percent? integer                         phase
---@field agent? string                            said, waiting
---@field seconds? integer                         waiting
---@field text? string                             said (a piece of the answer), noted
---@field level? 'info'|'warning'|'error'          noted
---@field stage? 'before'|'after'                  ran
---@field status? string                           ran
---@field exit_code? integer                       ran
---@field tests? opendevagent.Tests                ran
---@field path? string                             found
---@field findings? opendevagent.Finding[]         found
---@field usage? table                             usage
---@field verdict? opendevagent.Verdict            ended
---@field message? string                          ended

---@class opendevagent.Finding
---@field path? string
---@field line integer
---@field column? integer
---@field severity? 'error'|'warning'|'info'|'hint'
---@field category? string
---@field message string

---@class opendevagent.Task  a task of this session
---@field id string
---@field client_id integer
---@field action opendevagent.Action
---@field title string
---@field ended boolean
---@field cost? number       dollars so far

---@class opendevagent.Status
---@field state 'ready'|'busy'|'problem'
---@field message string
---@field remedy? string

---@class opendevagent.ReviewFile
---@field uri string
---@field before? string     absent for a new file
---@field after? string      absent for a deleted file
---@field diff string

---@class opendevagent.Review
---@field task string
---@field title string
---@field verdict opendevagent.Verdict
---@field files opendevagent.ReviewFile[]
