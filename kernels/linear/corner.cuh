#pragma once

// Which tile of ROWS x COLUMNS of a result of `columns` columns this block makes: the grid has one axis, which knows no
// limit.
struct Corner {
    long long row, column;

    __device__ explicit Corner(int columns, unsigned block = blockIdx.x)
    {
        unsigned across = (columns + COLUMNS - 1) / COLUMNS;
        row = (long long)(block / across) * ROWS;
        column = (long long)(block % across) * COLUMNS;
    }
};
