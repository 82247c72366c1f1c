-- Calendar days of whole years, with ISO weeks. Written with arithmetic where engines count weekdays differently.
with day_numbers as (
    -- 0 to 365 by digits: a series function would not be the same in every engine
    select hundreds.digit * 100 + tens.digit * 10 + ones.digit as day_offset
    from (values (0), (1), (2), (3)) as hundreds (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as tens (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as ones (digit)
    where hundreds.digit * 100 + tens.digit * 10 + ones.digit <= 365
),

days as (
    select
        years.calendar_year,
        cast(make_date(years.calendar_year, 1, 1) + interval '1 day' * day_numbers.day_offset as date)
            as calendar_date
    from affected.calendar_year as years
    cross join day_numbers
),

weekdays as (
    select
        days.calendar_date,
        days.calendar_year,
        -- the first of January of the year 1 is a Monday
        cast(date_diff('day', date '0001-01-01', days.calendar_date) as integer) % 7 + 1 as iso_weekday_number
    from days
    -- day 365 counted from zero exists in leap years only
    where cast(extract(year from days.calendar_date) as integer) = days.calendar_year
),

parts as (
    select
        weekdays.calendar_date,
        weekdays.calendar_year,
        weekdays.iso_weekday_number,
        extract(month from weekdays.calendar_date) as month_number,
        -- an ISO week belongs to the year of its Thursday
        cast(weekdays.calendar_date + interval '1 day' * (4 - weekdays.iso_weekday_number) as date)
            as thursday
    from weekdays
)

select
    parts.calendar_date,
    parts.calendar_year,
    extract(quarter from parts.calendar_date) as quarter_number,
    parts.month_number,
    date_trunc('month', parts.calendar_date) as month_start_date,
    case parts.month_number
        when 1 then 'January'
        when 2 then 'February'
        when 3 then 'March'
        when 4 then 'April'
        when 5 then 'May'
        when 6 then 'June'
        when 7 then 'July'
        when 8 then 'August'
        when 9 then 'September'
        when 10 then 'October'
        when 11 then 'November'
        else 'December'
    end as month_name,
    extract(day from parts.calendar_date) as day_of_month_number,
    extract(doy from parts.calendar_date) as day_of_year_number,
    extract(year from parts.thursday) as iso_year,
    extract(week from parts.calendar_date) as iso_week_number,
    parts.iso_weekday_number,
    case parts.iso_weekday_number
        when 1 then 'Monday'
        when 2 then 'Tuesday'
        when 3 then 'Wednesday'
        when 4 then 'Thursday'
        when 5 then 'Friday'
        when 6 then 'Saturday'
        else 'Sunday'
    end as weekday_name,
    parts.iso_weekday_number >= 6 as is_weekend
from parts
