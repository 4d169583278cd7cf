of no use: graph/Gr.fst
