;;; A user of Emacs: run the file, fix what it said, apply the proposal, save.  -*- lexical-binding: t -*-
;;;   emacs -Q --batch --load emacs.el eglot|lsp-mode FILE      with `opendevagent' on PATH, and ~/.emacs.d/init.el
(require 'cl-lib)

(defvar client (intern (pop command-line-args-left)))
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
(load (format "%s-autoloads" client) t)
(require client)

(defun wait-for (what condition)
  (let ((end (+ (float-time) 120)))
    (while (not (funcall condition))
      (when (> (float-time) end)
        (princ (buffer-string))
        (error "Waited for %s" what))
      (accept-process-output nil 0.05))))

(defun choose (title)
  (setq wanted title)
  (call-interactively (if (eq client 'eglot) #'eglot-code-actions #'lsp-execute-code-action)))

(defun start ()
  (if (eq client 'eglot)
      (progn
        (setq eglot-confirm-server-edits nil)
        (call-interactively #'eglot)
        (wait-for "the server" #'eglot-managed-p))
    ;; What `lsp' asks when it sees a project for the first time.
    (lsp-workspace-folders-add default-directory)
    (lsp)
    (wait-for "the server" (lambda () (cl-some (lambda (each) (eq (lsp--workspace-status each) 'initialized))
                                               (lsp-workspaces))))))

(defun first-problem ()
  "Where what the run found begins, once it has come."
  (if (eq client 'eglot)
      (progn
        (flymake-start)
        (when-let ((found (flymake-diagnostics))) (flymake-diagnostic-beg (car found))))
    (when-let ((found (gethash (buffer-file-name) (lsp-diagnostics))))
      (lsp--position-to-point (lsp:range-start (lsp:diagnostic-range (car found)))))))

(defun titles ()
  (if (eq client 'eglot)
      (mapcar (lambda (action) (plist-get action :title)) (eglot-code-actions (point) (point)))
    (mapcar #'lsp:code-action-title (lsp-code-actions-at-point))))

(find-file (pop command-line-args-left))
(start)
(choose "Run in sandbox")
(wait-for "what the run found" #'first-problem)
(goto-char (first-problem))
(choose "Fix: NameError")
;; Neither says that it can ask, so the proposal waits among the actions.
(wait-for "the proposal" (lambda () (cl-some (lambda (title) (string-prefix-p "Apply: " title)) (titles))))
(choose "Apply: ")
(wait-for "the fix" #'buffer-modified-p)
(princ (format "Emacs %s, %s: %s\n" emacs-version client
               (buffer-substring (line-beginning-position) (line-end-position))))
(save-buffer)
(if (eq client 'eglot) (eglot-shutdown-all) (lsp-workspace-shutdown (car (lsp-workspaces))))
