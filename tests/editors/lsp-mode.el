;;; A user of lsp-mode: run the file, fix what it said, apply the proposal, save.  -*- lexical-binding: t -*-
;;;   emacs -Q --batch --load lsp-mode.el FILE      with `opendevagent' on PATH, and ~/.emacs.d/init.el
(require 'cl-lib)

(defvar wanted nil "Title that the next menu is answered with, or its beginning.")
;; Not from a mouse; and what Emacs would compile by itself it needs a compiler of its own for.
(setq last-nonmenu-event ?\r
      native-comp-enable-subr-trampolines nil
      completing-read-function
      (lambda (prompt choices &rest _)
        (princ (format "%s%S\n" prompt (all-completions "" choices)))
        (or (cl-find-if (lambda (choice) (string-prefix-p wanted choice)) (all-completions "" choices))
            (error "%s is not offered" wanted))))

(load "~/.emacs.d/init")
;; As a package would be there.
(load "lsp-mode-autoloads" t)
(require 'lsp-mode)

(defun wait-for (what condition)
  (let ((end (+ (float-time) 120)))
    (while (not (funcall condition))
      (when (> (float-time) end)
        (princ (buffer-string))
        (error "Waited for %s" what))
      (accept-process-output nil 0.05))))

(defun choose (title)
  (setq wanted title)
  (call-interactively #'lsp-execute-code-action))

(defun start ()
  ;; What `lsp' asks when it sees a project for the first time.
  (lsp-workspace-folders-add default-directory)
  (lsp)
  (wait-for "the server" (lambda () (cl-some (lambda (each) (eq (lsp--workspace-status each) 'initialized))
                                             (lsp-workspaces)))))

(defun first-problem ()
  "Where what the run found begins, once it has come."
  (when-let ((found (gethash (buffer-file-name) (lsp-diagnostics))))
    (lsp--position-to-point (lsp:range-start (lsp:diagnostic-range (car found))))))

(defun titles ()
  (mapcar #'lsp:code-action-title (lsp-code-actions-at-point)))

(find-file (pop command-line-args-left))
(start)
(choose "Run in sandbox")
(wait-for "what the run found" #'first-problem)
(goto-char (first-problem))
(choose "Fix: NameError")
;; It does not say that it can ask, so the proposal waits among the actions.
(wait-for "the proposal" (lambda () (cl-some (lambda (title) (string-prefix-p "Apply: " title)) (titles))))
(choose "Apply: ")
(wait-for "the fix" #'buffer-modified-p)
(princ (format "Emacs %s: %s\n" emacs-version (buffer-substring (line-beginning-position) (line-end-position))))
(save-buffer)
(lsp-workspace-shutdown (car (lsp-workspaces)))
