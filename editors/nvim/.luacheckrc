std = 'luajit'
globals = { 'vim' }
max_line_length = 100
files['../../tests/nvim/*_spec.lua'] = { std = '+busted' }
