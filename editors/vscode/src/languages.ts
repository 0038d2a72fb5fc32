// The languages that the sandbox can run; a test compares them with the server's table.
export const LANGUAGES = ['python', 'javascript', 'typescript', 'java', 'go', 'rust', 'c', 'cpp', 'ruby', 'php', 'bash'];
