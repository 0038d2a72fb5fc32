;;; A user of Emacs: run the file, fix what it said, apply the proposal, save.  -*- lexical-binding: t -*-
;;;   emacs -Q --batch --load eglot.el FILE      with `opendevagent' on PATH
(require 'cl-lib)
(require 'eglot)

;; As in the README.
(add-to-list 'eglot-server-programs '((python-mode python-ts-mode) "opendevagent"))

(defvar wanted nil "Title that the next menu is answered with, or its beginning.")
;; Not from a mouse.
(setq last-nonmenu-event ?\r
      eglot-confirm-server-edits nil
      completing-read-function
      (lambda (prompt choices &rest _)
        (princ (format "%s%S\n" prompt (all-completions "" choices)))
        (or (cl-find-if (lambda (choice) (string-prefix-p wanted choice)) (all-completions "" choices))
            (error "%s is not offered" wanted))))

(defun wait-for (what condition)
  (let ((end (+ (float-time) 120)))
    (while (not (funcall condition))
      (when (> (float-time) end)
        (princ (buffer-string))
        (error "Waited for %s" what))
      (accept-process-output nil 0.05))))

(defun choose (title)
  (setq wanted title)
  (call-interactively #'eglot-code-actions))

(defun offered-p (title)
  (cl-some (lambda (action) (string-prefix-p title (plist-get action :title)))
           (eglot-code-actions (point) (point))))

(find-file (pop command-line-args-left))
(call-interactively #'eglot)
(wait-for "the server" #'eglot-managed-p)
(choose "Run in sandbox")
(wait-for "what the run found" (lambda () (flymake-start) (flymake-diagnostics)))
(goto-char (flymake-diagnostic-beg (car (flymake-diagnostics))))
(choose "Fix: NameError")
;; eglot does not say that it can ask, so the proposal waits among the actions.
(wait-for "the proposal" (lambda () (offered-p "Apply: ")))
(choose "Apply: ")
(wait-for "the fix" #'buffer-modified-p)
(princ (format "Emacs %s: %s\n" emacs-version (buffer-substring (line-beginning-position) (line-end-position))))
(save-buffer)
(eglot-shutdown-all)
